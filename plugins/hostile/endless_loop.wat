;; A policy that never answers: the demo swaps it in, and the host ends it by its fuel.
(module
  (memory (export "memory") 1)

  (func (export "weir_abi_1"))

  ;; Whole pages behind what there is, so that a request of any length has room. Where memory cannot grow, the answer is
  ;; no place at all, and the host says so.
  (func (export "weir_alloc") (param $length i32) (result i32)
    (memory.grow (i32.add (i32.shr_u (local.get $length) (i32.const 16)) (i32.const 1)))
    (i32.shl (i32.const 16)))

  (func (export "weir_evaluate") (param $pointer i32) (param $length i32) (result i64)
    (loop $for_ever (br $for_ever))
    (unreachable)))

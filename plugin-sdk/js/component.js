// What becomes the component: a policy that exports no `judge` is refused while it is built.
export { judge } from "../policy.js";

//! Weir policies in Zig: the exports of the core ABI around two functions of yours.
//!
//!     const weir = @import("sdk/weir.zig");
//!     const Config = struct { words: []const []const u8 = &.{} };
//!     fn judge(config: Config, request: weir.Request, verdict: *weir.Verdict) !void { ... }
//!     comptime { weir.policy(Config, judge); }
//!
//! Whatever is allocated with `verdict.allocator` lives until the next request. An error that `judge` returns means "cannot
//! judge", which counts as deny unless the operator wrote something else.

const std = @import("std");

/// What a policy is asked. What the manifest's `reads` leaves out is empty; what is not here, such as the payload, stands in
/// `root`.
pub const Request = struct {
    root: std.json.Value,
    /// The texts, each with its provenance.
    content: []const Part,

    /// A text at a key of the request, such as `checkpoint`; empty where there is none.
    pub fn text(request: Request, key: []const u8) []const u8 {
        return member(request.root, key);
    }
};

/// One text of a conversation or document.
pub const Part = struct { role: []const u8, origin: []const u8, text: []const u8 };

pub const Severity = enum { info, low, medium, high, critical };

/// What a policy answers: allow, unless something else is said.
pub const Verdict = struct {
    allocator: std.mem.Allocator,
    effect: enum { allow, review, deny } = .allow,
    findings: std.ArrayList(Finding) = .empty,
    edits: std.ArrayList(Edit) = .empty,

    const Finding = struct { code: []const u8, severity: Severity, message: []const u8, at: []const u8, start: usize, end: usize };
    const Edit = struct { at: []const u8, start: usize, end: usize, replacement: []const u8 };

    /// The step may not happen.
    pub fn deny(verdict: *Verdict) void {
        verdict.effect = .deny;
    }

    /// People must look first. Never loosens what was said before.
    pub fn review(verdict: *Verdict) void {
        if (verdict.effect == .allow) verdict.effect = .review;
    }

    /// A coded reason; `at` is a JSON pointer, start and end are bytes of the text there.
    pub fn finding(verdict: *Verdict, code: []const u8, severity: Severity, message: []const u8, at: []const u8, start: usize, end: usize) !void {
        try verdict.findings.append(verdict.allocator, .{ .code = code, .severity = severity, .message = message, .at = at, .start = start, .end = end });
    }

    /// A replacement of a span of the text at a JSON pointer.
    pub fn edit(verdict: *Verdict, at: []const u8, start: usize, end: usize, replacement: []const u8) !void {
        try verdict.edits.append(verdict.allocator, .{ .at = at, .start = start, .end = end, .replacement = replacement });
    }
};

fn member(value: std.json.Value, key: []const u8) []const u8 {
    if (value != .object) return "";
    const found = value.object.get(key) orelse return "";
    return if (found == .string) found.string else "";
}

/// Memory from the end of what is used, given back all at once: an evaluation writes few pages, which are put back afterwards.
const Bump = struct {
    var used: usize = 0;
    /// Where what the configuration took ends.
    var kept: usize = 0;

    const allocator = std.mem.Allocator{
        .ptr = undefined,
        .vtable = &.{ .alloc = alloc, .resize = resize, .remap = remap, .free = free },
    };

    fn heap() usize {
        return @intFromPtr(@extern(*u8, .{ .name = "__heap_base" }));
    }

    fn reserve(end: usize) bool {
        const have = @wasmMemorySize(0) * 65536;
        if (end > have and @wasmMemoryGrow(0, (end - have + 65535) / 65536) < 0) return false;
        used = end;
        return true;
    }

    fn alloc(_: *anyopaque, length: usize, alignment: std.mem.Alignment, _: usize) ?[*]u8 {
        if (used == 0) used = heap();
        const start = alignment.forward(used);
        return if (reserve(start + length)) @ptrFromInt(start) else null;
    }

    /// What was taken last can grow where it is.
    fn resize(_: *anyopaque, memory: []u8, _: std.mem.Alignment, length: usize, _: usize) bool {
        const start = @intFromPtr(memory.ptr);
        if (start + memory.len == used) return reserve(start + length);
        return length <= memory.len;
    }

    fn remap(context: *anyopaque, memory: []u8, alignment: std.mem.Alignment, length: usize, address: usize) ?[*]u8 {
        return if (resize(context, memory, alignment, length, address)) memory.ptr else null;
    }

    fn free(_: *anyopaque, _: []u8, _: std.mem.Alignment, _: usize) void {}
};

/// Exports the core ABI for a configuration and a function.
pub fn policy(comptime Config: type, comptime judge: fn (Config, Request, *Verdict) anyerror!void) void {
    const Guest = struct {
        var config: ?Config = null;
        var refused: ?[]const u8 = null;

        fn abi() callconv(.c) void {}

        fn alloc(length: u32) callconv(.c) u32 {
            if (Bump.kept != 0) Bump.used = Bump.kept;
            const bytes = Bump.allocator.alloc(u8, length) catch @trap();
            return @intCast(@intFromPtr(bytes.ptr));
        }

        fn configure(pointer: u32, length: u32) callconv(.c) i64 {
            config = std.json.parseFromSliceLeaky(Config, Bump.allocator, given(pointer, length), .{ .allocate = .alloc_always }) catch |err| {
                refused = @errorName(err);
                return place(refused.?);
            };
            Bump.kept = Bump.used;
            return 0;
        }

        fn evaluate(pointer: u32, length: u32) callconv(.c) i64 {
            const allocator = Bump.allocator;
            return place(answer(allocator, given(pointer, length)) catch |err|
                std.fmt.allocPrint(allocator, "{{\"error\":\"{s}\"}}", .{@errorName(err)}) catch @trap());
        }

        fn answer(allocator: std.mem.Allocator, json: []const u8) ![]const u8 {
            if (refused != null) return error.ConfigurationRefused;
            if (config == null) config = try std.json.parseFromSliceLeaky(Config, allocator, "{}", .{});
            const root = try std.json.parseFromSliceLeaky(std.json.Value, allocator, json, .{});
            var parts: std.ArrayList(Part) = .empty;
            if (root == .object) if (root.object.get("content")) |content| if (content == .array) {
                for (content.array.items) |part| {
                    try parts.append(allocator, .{ .role = member(part, "role"), .origin = member(part, "origin"), .text = member(part, "text") });
                }
            };
            var verdict = Verdict{ .allocator = allocator };
            try judge(config.?, .{ .root = root, .content = parts.items }, &verdict);
            const said = .{ .effect = verdict.effect, .findings = verdict.findings.items, .edits = verdict.edits.items };
            return std.json.Stringify.valueAlloc(allocator, said, .{});
        }

        fn given(pointer: u32, length: u32) []const u8 {
            return @as([*]const u8, @ptrFromInt(pointer))[0..length];
        }

        fn place(text: []const u8) i64 {
            return @as(i64, @intCast(@intFromPtr(text.ptr))) << 32 | @as(i64, @intCast(text.len));
        }
    };
    @export(&Guest.abi, .{ .name = "weir_abi_1" });
    @export(&Guest.alloc, .{ .name = "weir_alloc" });
    @export(&Guest.configure, .{ .name = "weir_configure" });
    @export(&Guest.evaluate, .{ .name = "weir_evaluate" });
}

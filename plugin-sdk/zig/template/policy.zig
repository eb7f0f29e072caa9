//! Finds the words of its configuration in the texts of a request, and masks them or refuses the request.

const std = @import("std");
const weir = @import("sdk/weir.zig");

const Config = struct {
    words: []const []const u8 = &.{},
    action: enum { mask, deny } = .mask,
};

fn judge(config: Config, request: weir.Request, verdict: *weir.Verdict) !void {
    for (request.content, 0..) |part, index| {
        const at = try std.fmt.allocPrint(verdict.allocator, "/content/{d}/text", .{index});
        for (config.words) |word| try look(config, part.text, word, at, verdict);
    }
}

fn look(config: Config, text: []const u8, word: []const u8, at: []const u8, verdict: *weir.Verdict) !void {
    var from: usize = 0;
    while (std.mem.indexOfPos(u8, text, from, word)) |start| {
        from = start + word.len;
        try verdict.finding("words.found", .high, "a forbidden word", at, start, from);
        switch (config.action) {
            .deny => verdict.deny(),
            .mask => try verdict.edit(at, start, from, "***"),
        }
    }
}

comptime {
    weir.policy(Config, judge);
}

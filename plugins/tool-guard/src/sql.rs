//! Whether an SQL text only reads. It is cut into words, not parsed: what cannot be told to be harmless is not.

/// Words that a statement which only reads may begin with.
const READING: [&str; 7] = ["select", "with", "show", "describe", "desc", "values", "table"];
/// Words that change something, or reach out of the database, wherever they stand outside of quotes.
const CHANGING: [&str; 42] = [
    "insert",
    "update",
    "delete",
    "merge",
    "replace",
    "upsert",
    "truncate",
    "drop",
    "create",
    "alter",
    "grant",
    "revoke",
    "into",
    "copy",
    "call",
    "do",
    "exec",
    "execute",
    "set",
    "reset",
    "lock",
    "unlock",
    "vacuum",
    "analyze",
    "attach",
    "detach",
    "pragma",
    "load",
    "handler",
    "rename",
    "comment",
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "use",
    "outfile",
    "dumpfile",
    "load_file",
    "pg_read_file",
    "xp_cmdshell",
    "for",
];

/// Why a text does more than read; none where it is one statement that only reads.
pub(crate) fn does_more(text: &str) -> Option<&'static str> {
    let words = match words(text) {
        Ok(words) => words,
        Err(why) => return Some(why),
    };
    let Some(first) = words.first() else { return Some("it is empty") };
    if !READING.contains(&first.as_str()) {
        return Some("it does not begin with a word that only reads");
    }
    let last = words.iter().rposition(|word| word != ";");
    if words.iter().take(last.unwrap_or(0)).any(|word| word == ";") {
        return Some("it has more than one statement");
    }
    let changing = words.iter().find_map(|word| CHANGING.iter().find(|changing| *changing == word));
    changing.map(|_| "it has a word that changes something")
}

/// Its words in lower case and its semicolons, without comments and what stands in quotes.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            let comment = comment.split('\n').next().unwrap_or_default();
            // Databases do not agree where such a comment begins, nor where it ends.
            if !comment.is_empty() && !comment.starts_with(' ') || comment.contains('\r') {
                return Err("it has a comment that databases read differently");
            }
            &rest[2 + comment.len()..]
        } else if matches!(first, '#' | '[' | ']') {
            return Err("it has a character that databases read differently");
        } else if let Some(comment) = rest.strip_prefix("/*") {
            // MySQL runs what stands in `/*! … */`.
            if comment.starts_with(['!', '+']) {
                return Err("it has a comment that some databases run");
            }
            let end = comment.find("*/").ok_or("a comment does not end")?;
            if comment[..end].contains("/*") {
                return Err("it has a comment in a comment, which databases read differently");
            }
            &comment[end + 2..]
        } else if matches!(first, '\'' | '"' | '`') {
            after_quote(&rest[1..], first)?
        } else if first == '$' && rest[1..].starts_with(|c: char| c == '$' || c.is_alphabetic()) {
            return Err("it has text in dollar quotes, which databases read differently");
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            words.push(rest[..end].to_lowercase());
            &rest[end..]
        } else {
            if first == ';' {
                words.push(";".to_owned());
            }
            &rest[first.len_utf8()..]
        };
    }
    Ok(words)
}

fn after_quote(mut rest: &str, quote: char) -> Result<&str, &'static str> {
    loop {
        let end = rest.find([quote, '\\']).ok_or("a quote does not end")?;
        if rest[end..].starts_with('\\') {
            return Err("it has a backslash in quotes, which databases read differently");
        }
        rest = &rest[end + 1..];
        // Twice the quote is one of them within the text.
        match rest.strip_prefix(quote) {
            Some(after) => rest = after,
            None => return Ok(rest),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_reads_is_told_from_what_does_more() {
        for reads in [
            "SELECT * FROM claims WHERE note = 'drop it; now'",
            "with a as (select 1) select * from a;",
            " -- the newest\n select max(id) from claims ; ",
            "select /* a hint */ \"update\" from t",
            "SHOW TABLES",
            "select 'it''s fine'",
        ] {
            assert_eq!(does_more(reads), None, "{reads}");
        }
        for (more, why) in [
            ("", "empty"),
            ("-- nothing", "empty"),
            ("DELETE FROM claims", "begin"),
            ("explain analyze delete from claims", "begin"),
            ("select 1; drop table claims", "more than one"),
            ("select 1;; select 2", "more than one"),
            ("WITH gone AS (DELETE FROM claims RETURNING *) SELECT * FROM gone", "changes"),
            ("select * into outfile '/tmp/x' from claims", "changes"),
            ("select * from claims for update", "changes"),
            ("select /*!50000 1; drop table x */ 1", "some databases run"),
            ("select /* a /* b */ */ 1", "comment in a comment"),
            ("select 'a\\'; drop table x; --'", "backslash"),
            ("select $$ x $$", "dollar"),
            ("select 'a", "quote does not end"),
            ("select /* a", "comment does not end"),
            ("SELECT load_file('/etc/passwd')", "changes"),
            ("сelect 1", "begin"),
            ("select 1 # 2; drop table claims", "read differently"),
            ("select 1--1; drop table claims", "read differently"),
            ("select 1 -- x\r; drop table claims", "read differently"),
            ("select 1 as [']; drop table x --']", "read differently"),
        ] {
            let told = does_more(more).unwrap_or_default();
            assert!(told.contains(why), "{more}: {told}");
        }
    }
}

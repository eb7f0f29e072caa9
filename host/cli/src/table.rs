//! Columns of text, as wide as what is in them.

use crate::terminal::Paint;

/// A table under construction: a head, rows, and which columns hold numbers.
#[derive(Debug)]
pub(crate) struct Table {
    /// The head first.
    rows: Vec<Vec<String>>,
    /// Columns whose name starts with `>` in the head: aligned to the right.
    numbers: Vec<bool>,
}

impl Table {
    /// A table with these columns; a leading `>` makes one of numbers.
    pub(crate) fn new(head: &[&str]) -> Table {
        let numbers = head.iter().map(|name| name.starts_with('>')).collect();
        let names = head.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Table { rows: vec![names], numbers }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, the head first; columns that are empty in every row are left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            let mut cells = self.rows.iter().skip(1).map(|row| row[column].as_str());
            let used = self.rows.len() == 1 || cells.any(|cell| !cell.is_empty());
            let widest = self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            used.then_some(widest)
        };
        let widths: Vec<Option<usize>> = (0..self.numbers.len()).map(width).collect();
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    /// The lines, with a head that stays in the background.
    pub(crate) fn painted(&self, paint: Paint) -> Vec<String> {
        let mut lines = self.lines();
        if let Some(head) = lines.first_mut() {
            *head = paint.faint(&*head);
        }
        lines
    }

    fn line(&self, row: &[String], widths: &[Option<usize>]) -> String {
        let cells = row.iter().zip(widths).zip(&self.numbers);
        let padded = cells.filter_map(|((cell, width), number)| {
            let width = (*width)?;
            Some(if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") })
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(&["name", ">calls", "failures"]);
        table.row(["pii".to_owned(), "1,000".to_owned(), String::new()]);
        table.row(["fairness".to_owned(), "7".to_owned(), String::new()]);
        assert_eq!(table.lines(), ["name      calls", "pii       1,000", "fairness      7"]);
    }
}

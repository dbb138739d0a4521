//! A table: for a terminal, or as Markdown.

use std::fmt;

/// Rows with a name, under columns with titles.
#[derive(Debug)]
pub(super) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    pub(super) fn new<'t>(title: &str, columns: impl Iterator<Item = &'t str>) -> Self {
        Self { title: title.to_owned(), columns: columns.map(str::to_owned).collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, name: &str, cells: Vec<String>) {
        self.rows.push((name.to_owned(), cells));
    }

    /// As a section of a Markdown file.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("## {}\n\n", self.title);
        text.push_str(&line(&[vec![String::new()], self.columns.clone()].concat()));
        text.push_str(&line(&[vec!["---".to_owned()], vec!["---:".to_owned(); self.columns.len()]].concat()));
        for (name, cells) in &self.rows {
            text.push_str(&line(&[vec![name.clone()], cells.clone()].concat()));
        }
        text
    }

    /// The width of the names, and of each column.
    fn widths(&self) -> (usize, Vec<usize>) {
        let width = |text: &String| text.chars().count();
        let names = self.rows.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
        let column = |index: usize| {
            let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(index)).map(width);
            cells.chain([width(&self.columns[index])]).max().unwrap_or_default()
        };
        (names, (0..self.columns.len()).map(column).collect())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, widths) = self.widths();
        writeln!(f, "{}", self.title)?;
        let mut line = |name: &str, cells: &[String]| {
            write!(f, "  {name:names$}")?;
            cells.iter().zip(&widths).try_for_each(|(cell, width)| write!(f, "  {cell:>width$}"))?;
            writeln!(f)
        };
        line("", &self.columns)?;
        self.rows.iter().try_for_each(|(name, cells)| line(name, cells))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("Speed", ["Gbit/s", "x"].into_iter());
        table.row("relay", vec!["12.34".into(), "1000".into()]);
        table.row("none", vec!["-".into(), "1".into()]);
        let expected = "Speed\n         Gbit/s     x\n  relay   12.34  1000\n  none        -     1\n";
        assert_eq!(table.to_string(), expected);
        let markdown = "## Speed\n\n|  | Gbit/s | x |\n| --- | ---: | ---: |\n| relay | 12.34 | 1000 |\n| none | - | 1 |\n";
        assert_eq!(table.markdown(), markdown);
    }
}

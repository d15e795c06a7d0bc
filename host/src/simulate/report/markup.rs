//! Text inside the page, and the tables and figures around it.

use crate::report::printable;

/// The text without what XML does not know: control characters are spelt, other such characters replaced.
pub(super) fn speakable(text: &str) -> String {
    printable(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// The text as it may stand between tags and in quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in speakable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// A cell of a table.
pub(super) struct Cell {
    text: String,
    is_best: bool,
}

impl Cell {
    pub(super) const fn best_if(is_best: bool, text: String) -> Self {
        Self { text, is_best }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, is_best: false }
    }
}

/// A table whose first `names` columns are names and whose others are numbers.
pub(super) fn table<'h>(
    headings: impl IntoIterator<Item = &'h str>,
    names: usize,
    rows: impl IntoIterator<Item = Vec<Cell>>,
) -> String {
    let mut html = "<div class=\"wide\"><table>\n<thead><tr>".to_owned();
    let class = |column| if column < names { " class=\"name\"" } else { "" };
    for (column, heading) in headings.into_iter().enumerate() {
        html += &format!("<th scope=\"col\"{}>{}</th>", class(column), escaped(heading));
    }
    html += "</tr></thead>\n<tbody>\n";
    for row in rows {
        html += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let text = escaped(&cell.text);
            let text = if cell.is_best { format!("<b>{text}</b>") } else { text };
            html += &format!("<td{}>{text}</td>", class(column));
        }
        html += "</tr>\n";
    }
    html + "</tbody>\n</table></div>\n"
}

/// A plot under its title; without one, why there is none.
pub(super) fn figure(title: &str, note: &str, svg: Option<&str>) -> String {
    let title = escaped(title);
    let note = if note.is_empty() { String::new() } else { format!(" <span>{}</span>", escaped(note)) };
    let plot = match svg {
        Some(svg) => svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1),
        None => "<p class=\"none\">Nothing to show.</p>\n".to_owned(),
    };
    format!("<figure><figcaption>{title}{note}</figcaption>\n{plot}</figure>\n")
}

/// Which colour is what: pairs of a class of the style and a name.
pub(super) fn legend<'n>(entries: impl IntoIterator<Item = (String, &'n str)>) -> String {
    let entry = |(class, name): (String, &str)| format!("<li><i class=\"{class}\"></i>{}</li>", escaped(name));
    format!("<ul class=\"legend\">{}</ul>\n", entries.into_iter().map(entry).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(escaped("a\u{1b}[2J\n\0b\u{ffff}"), "a\\u{1b}[2J\\n\\0b\u{fffd}");
        let html = table(["<h>"], 1, [vec![Cell::best_if(true, "<c>".to_owned())]]);
        assert!(html.contains("<th scope=\"col\" class=\"name\">&lt;h&gt;</th>"), "{html}");
        assert!(html.contains("<td class=\"name\"><b>&lt;c&gt;</b></td>"), "{html}");
        assert!(legend([("c0".to_owned(), "<l>")]).contains("&lt;l&gt;"));
        assert!(figure("<f>", "<n>", Some("<svg a=\"\"/>")).contains("aria-label=\"&lt;f&gt;\" a=\"\""));
    }
}

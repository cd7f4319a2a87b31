//! The report as plain data, and its two forms: one HTML page without anything outside it, and Markdown with figures
//! beside it.
//!
//! Text is plain; a stretch between backticks is code.

use std::fmt::Write as _;

/// One thing after another.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A chapter begins.
    Chapter(String),
    /// A section of it begins.
    Section(String),
    /// A paragraph.
    Text(String),
    /// A list.
    Items(Vec<String>),
    /// A table.
    Table(Table),
    /// A figure.
    Figure {
        /// Its file's name without ending.
        name: String,
        /// What it shows.
        caption: String,
        /// The figure itself.
        svg: String,
    },
    /// Text as it is, folded away in HTML.
    Code {
        /// What it is.
        title: String,
        /// Its lines.
        text: String,
    },
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Above it.
    pub caption: String,
    /// Names of columns.
    pub header: Vec<String>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
    /// Number of first columns that hold words; the others hold numbers and stand to the right.
    pub words: usize,
}

const STYLE: &str = "\
body{font:16px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;color:#1a1a1a;max-width:76rem;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.8rem;margin:0 0 .4rem}h2{font-size:1.3rem;margin:2.4rem 0 .6rem;border-bottom:1px solid #ccc;padding-bottom:.2rem}h3{font-size:1.05rem;margin:1.6rem 0 .4rem}
p,ul{max-width:52rem}.scroll{overflow-x:auto;margin:.8rem 0 1.2rem}table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:#555;padding-bottom:.3rem}th,td{padding:.22rem 1.3rem .22rem 0;text-align:right;vertical-align:top;border-bottom:1px solid #e4e4e4}
th{border-bottom:1px solid #888;font-weight:600;vertical-align:bottom}.w{text-align:left}td:not(.w){white-space:nowrap}figure{margin:1rem 0 1.6rem}figure svg{max-width:100%;height:auto;border:1px solid #eee}
figcaption{color:#555;font-size:.88rem;max-width:60rem}pre{background:#f6f6f6;padding:.8rem;overflow-x:auto;font-size:.82rem}code{background:#f3f3f3;padding:0 .2em}
nav a{margin-right:1rem;white-space:nowrap}";

/// The whole as one HTML page.
pub fn html(title: &str, blocks: &[Block]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>\n{STYLE}\n</style>\n</head>\n\
         <body>\n<h1>{0}</h1>\n",
        escaped(title)
    );
    out.push_str("<nav>");
    for chapter in blocks.iter().filter_map(|block| if let Block::Chapter(title) = block { Some(title) } else { None })
    {
        let _ = write!(out, "<a href=\"#{}\">{}</a>", anchor(chapter), escaped(chapter));
    }
    out.push_str("</nav>\n");
    for block in blocks {
        html_block(block, &mut out);
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn html_block(block: &Block, out: &mut String) {
    let _ = match block {
        Block::Chapter(title) => writeln!(out, "<h2 id=\"{}\">{}</h2>", anchor(title), escaped(title)),
        Block::Section(title) => writeln!(out, "<h3>{}</h3>", escaped(title)),
        Block::Text(text) => writeln!(out, "<p>{}</p>", inline(text)),
        Block::Items(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("<li>{}</li>", inline(item))).collect();
            writeln!(out, "<ul>\n{}\n</ul>", items.join("\n"))
        }
        Block::Table(table) => writeln!(out, "{}", html_table(table)),
        Block::Figure { caption, svg, .. } => {
            // Titles of drawings would show as tool tips over the whole figure; the caption says more.
            writeln!(out, "<figure>\n{}<figcaption>{}</figcaption>\n</figure>", svg, inline(caption))
        }
        Block::Code { title, text } => {
            writeln!(out, "<details><summary>{}</summary><pre>{}</pre></details>", escaped(title), escaped(text))
        }
    };
}

fn html_table(table: &Table) -> String {
    let class = |column: usize| if column < table.words { " class=\"w\"" } else { "" };
    let cells = |tag: &str, row: &[String]| -> String {
        let cell = |(i, cell): (usize, &String)| format!("<{tag}{}>{}</{tag}>", class(i), inline(cell));
        row.iter().enumerate().map(cell).collect::<Vec<_>>().concat()
    };
    let caption =
        if table.caption.is_empty() { String::new() } else { format!("<caption>{}</caption>", inline(&table.caption)) };
    let rows: Vec<String> = table.rows.iter().map(|row| format!("<tr>{}</tr>", cells("td", row))).collect();
    let head = if table.header.iter().all(String::is_empty) {
        String::new()
    } else {
        format!("<thead><tr>{}</tr></thead>\n", cells("th", &table.header))
    };
    format!("<div class=\"scroll\"><table>{caption}\n{head}<tbody>\n{}\n</tbody></table></div>", rows.join("\n"))
}

/// The whole as Markdown; figures are `NAME.svg` beside it.
pub fn markdown(title: &str, blocks: &[Block]) -> String {
    let mut out = format!("# {}\n", marked(title));
    for block in blocks {
        out.push('\n');
        let _ = match block {
            Block::Chapter(title) => writeln!(out, "## {}", marked(title)),
            Block::Section(title) => writeln!(out, "### {}", marked(title)),
            Block::Text(text) => writeln!(out, "{}", marked(text)),
            Block::Items(items) => items.iter().try_for_each(|item| writeln!(out, "- {}", marked(item))),
            Block::Table(table) => write!(out, "{}", markdown_table(table)),
            Block::Figure { name, caption, .. } => {
                writeln!(out, "![{0}]({name}.svg)\n\n*{0}*", marked(caption))
            }
            Block::Code { title, text } => writeln!(out, "{}:\n\n````toml\n{}\n````", marked(title), text.trim_end()),
        };
    }
    out
}

fn markdown_table(table: &Table) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = String::new();
    if !table.caption.is_empty() {
        let _ = write!(out, "{}\n\n", marked(&table.caption));
    }
    let cell = |text: &String| marked(text).replace('|', "\\|");
    out.push_str(&row(table.header.iter().map(cell).collect()));
    let rule = |column: usize| if column < table.words { "---".to_owned() } else { "---:".to_owned() };
    out.push_str(&row((0..table.header.len()).map(rule).collect()));
    for cells in &table.rows {
        out.push_str(&row(cells.iter().map(cell).collect()));
    }
    out
}

fn anchor(title: &str) -> String {
    title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text for HTML, with what is between backticks as code.
fn inline(text: &str) -> String {
    let part = |(i, part): (usize, &str)| {
        if i % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) }
    };
    text.split('`').enumerate().map(part).collect()
}

/// Text for Markdown: what would be markup is escaped, code stays.
fn marked(text: &str) -> String {
    let part = |(i, part): (usize, &str)| {
        if i % 2 == 1 {
            return format!("`{part}`");
        }
        let mut out = String::new();
        for c in part.chars() {
            if "*_<>[]\\".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        out
    };
    text.split('`').enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_sweep_cannot_break_either_form() {
        let row = vec!["<script>".to_owned(), "a|b `c|d`".to_owned()];
        let table = Table { caption: String::new(), header: vec!["x".into(), "y*".into()], rows: vec![row], words: 1 };
        let blocks = [Block::Table(table), Block::Text("1 < 2 & `x<y`".to_owned())];
        let html = html("a <b>", &blocks);
        assert!(html.contains("<title>a &lt;b&gt;</title>") && html.contains("<td class=\"w\">&lt;script&gt;</td>"));
        assert!(html.contains("1 &lt; 2 &amp; <code>x&lt;y</code>"));
        let markdown = markdown("t", &blocks);
        assert!(markdown.contains("| \\<script\\> | a\\|b `c\\|d` |"), "{markdown}");
        assert!(markdown.contains("| --- | ---: |") && markdown.contains("| x | y\\* |"));
    }

    #[test]
    fn a_page_needs_nothing_outside_it() {
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>\n".to_owned();
        let figure = Block::Figure { name: "f".to_owned(), caption: "c".to_owned(), svg };
        let blocks = [Block::Chapter("A b".to_owned()), figure];
        let html = html("t", &blocks).replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains("http") && !html.contains("src=") && html.contains("href=\"#a-b\""));
        assert!(markdown("t", &blocks).contains("![c](f.svg)"));
    }
}

//! The paper: shapes in colours that suit a light and a dark page.

use std::fmt::Write;

/// The colours of series, by their class `s0`, `s1`, …: on a light page, on a dark page.
const SERIES: [(&str, &str); 6] = [
    ("#2a78d6", "#3987e5"),
    ("#e34948", "#e66767"),
    ("#1b8a5a", "#2fae78"),
    ("#b87500", "#d99a2b"),
    ("#6a4fc0", "#9d8cf0"),
    ("#b0307e", "#dd6fae"),
];

/// How many series look different from each other by colour; later ones are dashed.
pub const COLOURS: usize = SERIES.len();

/// Where a text is held.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A point: to the right, and down.
pub type Point = (f64, f64);

/// A drawing in the making.
pub struct Drawing {
    width: f64,
    height: f64,
    shapes: String,
}

impl Drawing {
    /// An empty drawing with a title.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut drawing = Self {
            width,
            height,
            shapes: String::new(),
        };
        drawing.text((16.0, 26.0), Anchor::Start, "title", title);
        drawing
    }

    /// A text.
    pub fn text(&mut self, at: Point, anchor: Anchor, class: &str, text: &str) {
        let (x, y) = at;
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            self.shapes,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{}" class="{class}">{}</text>"#,
            anchor.name(),
            escaped(text)
        );
    }

    /// A straight line.
    pub fn line(&mut self, from: Point, to: Point, class: &str) {
        let _ = writeln!(
            self.shapes,
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" class="{class}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points, in the colour of a series.
    pub fn path(&mut self, points: &[Point], series: usize) {
        let _ = write!(self.shapes, r#"<polyline class="curve {}" points=""#, class(series));
        for (x, y) in points {
            let _ = write!(self.shapes, "{x:.1},{y:.1} ");
        }
        self.shapes.push_str("\"/>\n");
    }

    /// A mark on a line, in the colour of a series; who points at it sees `what`.
    pub fn mark(&mut self, at: Point, series: usize, what: &str) {
        let _ = writeln!(
            self.shapes,
            r#"<circle cx="{:.1}" cy="{:.1}" r="4" class="mark {}"><title>{}</title></circle>"#,
            at.0,
            at.1,
            class(series),
            escaped(what)
        );
    }

    /// A bar, in the colour of a series; who points at it sees `what`.
    pub fn bar(&mut self, at: Point, width: f64, height: f64, series: usize, what: &str) {
        let _ = writeln!(
            self.shapes,
            r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="{height:.1}" rx="2" class="bar {}"><title>{}</title></rect>"#,
            at.0,
            at.1,
            width.max(1.0),
            class(series),
            escaped(what)
        );
    }

    /// The file. Colours are written out for both pages: not every program that draws SVG knows variables.
    pub fn finish(self) -> String {
        let Self { width, height, shapes } = self;
        let (light, dark) = (LIGHT.rules(|pair| pair.0), DARK.rules(|pair| pair.1));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="12">
<style>
{light}.title {{ font-size: 15px; font-weight: 600; }}
.curve {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
.mark {{ stroke-width: 2; }}
.dashed {{ stroke-dasharray: 5 4; }}
.target {{ stroke-dasharray: 2 4; }}
@media (prefers-color-scheme: dark) {{
{dark}}}
</style>
<rect width="100%" height="100%" class="page"/>
{shapes}</svg>
"#
        )
    }
}

/// The colours of a page beside those of series.
struct Page {
    paper: &'static str,
    ink: &'static str,
    soft: &'static str,
    grid: &'static str,
}

const LIGHT: Page = Page {
    paper: "#fcfcfb",
    ink: "#1f1e1c",
    soft: "#5f5d58",
    grid: "#e3e1dc",
};

const DARK: Page = Page {
    paper: "#191918",
    ink: "#efeeea",
    soft: "#a9a69f",
    grid: "#393834",
};

impl Page {
    /// The rules that colour what lies on it.
    fn rules(&self, of: impl Fn(&(&'static str, &'static str)) -> &'static str) -> String {
        let Self { paper, ink, soft, grid } = self;
        let mut rules = format!(
            "text {{ fill: {soft}; }}\n.title, .name {{ fill: {ink}; }}\n.page {{ fill: {paper}; }}\n.mark {{ stroke: {paper}; }}\n\
             .grid {{ stroke: {grid}; }}\n.axis {{ stroke: {soft}; }}\n.target {{ stroke: {ink}; }}\n"
        );
        for (series, pair) in SERIES.iter().enumerate() {
            let colour = of(pair);
            // Writing to a String cannot fail.
            let _ = writeln!(
                rules,
                ".curve.s{series} {{ stroke: {colour}; }}\n.mark.s{series}, .bar.s{series} {{ fill: {colour}; }}"
            );
        }
        rules
    }
}

/// The class of a series.
pub fn class(series: usize) -> String {
    let dashed = if series < COLOURS { "" } else { " dashed" };
    format!("s{}{dashed}", series % COLOURS)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut drawing = Drawing::new(100.0, 50.0, "a < b & c");
        drawing.bar((0.0, 0.0), 0.0, 5.0, 7, "<tiny>");
        let svg = drawing.finish();
        assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
        assert!(
            svg.contains(r#"width="1.0" height="5.0" rx="2" class="bar s1 dashed"><title>&lt;tiny&gt;"#),
            "{svg}"
        );
    }
}

//! Findings drawn for people, each with the line that it is about.

use chaperone_authoring::source::{Finding, Findings, Severity, Source};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use std::fmt;

/// How findings are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With colours: for a terminal.
    Colour,
    /// Without.
    Plain,
}

/// Each of them with its line and what to write instead.
#[must_use]
pub fn draw(findings: &Findings, style: Style) -> String {
    let theme = match style {
        Style::Colour => GraphicalTheme::unicode(),
        Style::Plain => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_context_lines(1);
    let mut out = String::new();
    for (index, finding) in findings.list().iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if handler.render_report(&mut out, &Drawn { finding, text: Text(&finding.source) }).is_err() {
            // A span that miette cannot draw still has a place and a message.
            out.push_str(&format!("{}: {}\n", finding.place(), finding.message));
        }
    }
    out
}

/// A finding as miette takes it.
#[derive(Debug)]
struct Drawn<'f> {
    finding: &'f Finding,
    text: Text<'f>,
}

/// The text that a finding is about.
#[derive(Debug)]
struct Text<'f>(&'f Source);

impl Drawn<'_> {
    /// Drawing a line of thousands of characters (JSON in one line) helps nobody.
    fn shows_its_line(&self) -> bool {
        let Some(range) = &self.finding.range else { return false };
        let text = &self.finding.source.text;
        let start = text.get(..range.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        text.get(start..).and_then(|rest| rest.lines().next()).is_some_and(|line| line.len() <= 240)
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shows_its_line() {
            f.write_str(&self.finding.message)
        } else {
            write!(f, "{}: {}", self.finding.place(), self.finding.message)
        }
    }
}

impl std::error::Error for Drawn<'_> {}

impl Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning(_) => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.finding.severity.code().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.finding.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.shows_its_line().then_some(&self.text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let range = self.finding.range.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(range))))
    }
}

impl SourceCode for Text<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // Of a long file only the part that is shown is read, and some lines more: `before` and `after` are not all that counts.
        let range = span.offset()..span.offset() + span.len();
        let (part, first) = self.0.lines_around(range, before + 2, after + 2);
        let from = part.start;
        let shown = self.0.masked().get(part).ok_or(MietteError::OutOfBounds)?;
        let inner = shown.read_span(&SourceSpan::new((span.offset() - from).into(), span.len()), before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            inner.data(),
            SourceSpan::new((inner.span().offset() + from).into(), inner.span().len()),
            inner.line() + first - 1,
            inner.column(),
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaperone_authoring::source::Document;

    #[test]
    fn findings_are_drawn_with_their_line() {
        let document = Document::parse("f.yaml", "session:\n  max_lifetime: 15\n".into()).unwrap();
        let findings: Findings =
            document.finding("/session/max_lifetime", "must be a duration", Some("write `15m`".into())).into();
        insta::assert_snapshot!(draw(&findings, Style::Plain), @r"
          × must be a duration
           ╭─[f.yaml:2:17]
         1 │ session:
         2 │   max_lifetime: 15
           ·                 ──
           ╰────
          help: write `15m`
        ");
        assert!(draw(&findings, Style::Colour).contains("\u{1b}["));
    }
}

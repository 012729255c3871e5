//! The pages that people read, as the tests of the documentation read them: fenced blocks, headings, links, code spans.

use crate::root;
use std::{fs, path::PathBuf};

/// A Markdown file of the repository.
#[derive(Debug)]
pub struct Page {
    /// Its path from the workspace's root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block<'p> {
    /// What stands behind the opening fence; empty where nothing does.
    pub language: &'p str,
    /// Its lines, without the fences.
    pub text: String,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// Its fenced blocks.
    ///
    /// # Panics
    /// When one of them is not closed.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                blocks.push(Block { language, text: text.iter().flat_map(|line| [*line, "\n"]).collect() });
            }
        }
        assert_eq!(self.text.lines().filter(|line| line.starts_with("```")).count(), 2 * blocks.len(), "{}: a fence", self.path);
        blocks
    }

    /// The texts of its blocks in this language.
    #[must_use]
    pub fn blocks_in(&self, language: &str) -> Vec<String> {
        self.blocks().into_iter().filter(|block| block.language == language).map(|block| block.text).collect()
    }

    /// What is outside its fenced blocks.
    #[must_use]
    pub fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    #[must_use]
    pub fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
        headings.map(anchor).collect()
    }

    /// Where its links lead.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
    }

    /// What it sets in backticks, within a line.
    #[must_use]
    pub fn code_spans(&self) -> Vec<String> {
        let prose = self.prose();
        // A span may be wrapped; a paragraph ends what was opened and never closed.
        let paragraphs = prose.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        paragraphs.flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// Lower case; letters, digits, `-` and `_` stay, a space is a `-`, all else goes.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// All Markdown files of the repository, by path.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn all() -> Vec<Page> {
    files("md").iter().map(|path| Page::read(path)).collect()
}

/// The pages that are the documentation: those of the root and of `docs/`.
#[must_use]
pub fn documentation() -> Vec<Page> {
    all().into_iter().filter(|page| !page.path.contains('/') || page.path.starts_with("docs/")).collect()
}

/// The repository's files of this kind, by their paths from the root; nothing that is built or hidden.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn files(extension: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![PathBuf::new()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the repository") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = folder.join(&name);
            if entry.file_type().expect("a kind").is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|other| other == extension) {
                found.push(path.to_str().expect("a path in UTF-8").replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

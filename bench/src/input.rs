//! The paths of inputs, as a person types them, and the files in them that are no input.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::{
    quantity::counted,
    terminal::{print_detail, print_remark},
};

/// Parses the path of an input.
pub(crate) fn input_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.to_str().map(refuse_url) {
        Some(Err(error)) => Err(error),
        Some(Ok(())) | None => Ok(path),
    })
}

/// Fails for a URL.
pub(crate) fn refuse_url(text: &str) -> Result<(), String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    match scheme.filter(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric())) {
        Some(_) => Err("this is a URL: download it first, and name the file or folder".to_owned()),
        None => Ok(()),
    }
}

/// Names the skipped files with `--verbose`.
pub(crate) fn name_skipped(files: &[PathBuf]) {
    files.iter().for_each(|file| print_detail(|| format!("skipped: {}", file.display())));
}

/// What is said of a number of skipped files.
pub(crate) fn skipped(files: usize) -> String {
    format!("{} skipped: no fixtures by name (-v names them)", counted(files, "file"))
}

/// Says how many files were skipped, and names them with `--verbose`.
pub(crate) fn print_skipped(files: &[PathBuf]) {
    name_skipped(files);
    if !files.is_empty() {
        print_remark(&skipped(files.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_are_refused() {
        assert!(refuse_url("https://example.org/blocks.json").is_err());
        assert!(refuse_url("file:///blocks.json").is_err());
        assert!(
            ["blocks/a.json", "c:/blocks", "a b://c", "://"].into_iter().all(|path| refuse_url(path).is_ok())
        );
    }
}

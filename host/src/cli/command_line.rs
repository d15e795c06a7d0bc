//! A command as a person would type it, from its parts.

use std::fmt::Display;

/// Words of a command line.
pub(super) struct CommandLine(String);

impl CommandLine {
    pub(super) fn of(program: &str) -> Self {
        Self(program.to_owned())
    }

    pub(super) fn option(mut self, name: &str, value: impl Display) -> Self {
        self.0 += &format!(" {name} {}", quoted(&value.to_string()));
        self
    }

    pub(super) fn options<V: Display>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        values.into_iter().fold(self, |line, value| line.option(name, value))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        let line = CommandLine::of("tool").option("--a", "x/y.z").options("--b", ["", "it's", "$HOME"]);
        assert_eq!(line.text(), "tool --a x/y.z --b '' --b 'it'\\''s' --b '$HOME'");
    }
}

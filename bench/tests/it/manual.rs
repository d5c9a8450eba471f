//! `blockloom completions` and `blockloom man`.

use std::{collections::BTreeSet, fs, process::Command};

use crate::command::{blockloom, text};

/// The subcommands in `--help`.
fn subcommands() -> Vec<String> {
    let help = text(&blockloom(&["--help"]).stdout);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long options in the help of a subcommand.
fn options(subcommand: &str) -> BTreeSet<String> {
    let help = text(&blockloom(&[subcommand, "--help"]).stdout);
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.filter_map(|line| line.split(' ').find(|word| word.starts_with("--")));
    names.map(str::to_owned).collect()
}

#[test]
fn every_shell_gets_completions_with_every_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = blockloom(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        for subcommand in subcommands() {
            for option in options(&subcommand) {
                let name = option.trim_start_matches('-');
                assert!(script.contains(name), "{shell}: {subcommand} {option} is missing");
            }
            assert!(script.contains(&subcommand), "{shell}: {subcommand} is missing");
        }
    }
    assert_eq!(blockloom(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn bash_takes_its_completions_and_completes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blockloom.bash");
    fs::write(&path, blockloom(&["completions", "bash"]).stdout).unwrap();
    let bash = |script: &str| Command::new("bash").args(["--norc", "-c", script]).output().unwrap();
    let checked = bash(&format!("bash -n '{}'", path.display()));
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let script = format!(
        "source '{}'; COMP_WORDS=(blockloom replay --cs); COMP_CWORD=2; _blockloom blockloom --cs replay; \
         echo \"${{COMPREPLY[@]}}\"",
        path.display()
    );
    let completed = bash(&script);
    assert_eq!(text(&completed.stdout).trim(), "--csv", "{}", text(&completed.stderr));
}

#[test]
fn every_subcommand_has_a_man_page_with_every_option() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("new/man1");
    for _ in 0..2 {
        let output = blockloom(&["man", pages.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let main = fs::read_to_string(pages.join("blockloom.1")).unwrap();
    let subcommands = subcommands();
    assert!(subcommands.len() > 6, "{subcommands:?}");
    for subcommand in subcommands {
        let page = fs::read_to_string(pages.join(format!("blockloom-{subcommand}.1"))).unwrap();
        let page = page.replace("\\-", "-");
        assert!(page.contains(&format!(".TH blockloom-{subcommand} 1")), "{subcommand}");
        for option in options(&subcommand) {
            assert!(page.contains(&option), "{subcommand}: {option} is missing");
        }
        assert!(main.replace("\\-", "-").contains(&format!("blockloom-{subcommand}(1)")), "{subcommand}");
    }
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = blockloom(&["man", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(file.to_str().unwrap()), "{}", text(&output.stderr));
}

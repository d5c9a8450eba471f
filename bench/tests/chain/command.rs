//! The command as a person runs it.

use std::{fs, thread, time::Duration};

use blockloom_bench::workloads::{Kind, chain::ChainRecipe};
use serde_json::{Value, json};

use crate::scene::{RECIPE, Scene, command, line, told};

/// Changes the only case of a file.
fn edit(scene: &Scene, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
    let mut file: Value = serde_json::from_str(&fs::read_to_string(scene.path(from)).unwrap()).unwrap();
    let case = file.as_object_mut().unwrap().values_mut().next().unwrap();
    change(case);
    fs::write(scene.path(to), file.to_string()).unwrap();
}

fn blocks(case: &mut Value) -> &mut Vec<Value> {
    case["blocks"].as_array_mut().unwrap()
}

#[test]
fn an_import_is_verified_and_goes_on_where_it_stopped() {
    let scene = Scene::new(12);
    edit(&scene, "chain.json", "start.json", |case| {
        blocks(case).truncate(7);
        case["lastblockhash"] = case["blocks"][6]["blockHeader"]["hash"].clone();
    });
    let told = scene.chain("kept", &["--import", "start.json", "--verify"]);
    assert_eq!(told.last_line(), scene.line(7));
    assert!(told.output.contains("imported 7 blocks with"), "{}", told.output);
    assert!(told.output.contains(" reads hit"), "{}", told.output);
    assert!(told.output.contains("verified: "), "{}", told.output);
    assert_eq!(told.error, "", "no progress bar where there is no terminal");

    let flags = ["--threads", "2", "--cache", "1M", "--blocks-per-write", "3", "--undo", "4", "--verify"];
    let told = scene.chain("kept", &[&["--import", "chain.json"], &flags[..]].concat());
    assert_eq!(told.last_line(), scene.line(12));
    assert!(told.output.contains("imported 5 blocks with"), "{}", told.output);
    assert!(told.output.contains("passed over 7 blocks"), "{}", told.output);
    assert_eq!(scene.chain("kept", &[]).last_line(), scene.line(12), "without anything to do");
    let told = scene.chain("kept", &["--undo", "4", "--revert", "5"]);
    assert_eq!(told.status, Some(2));
    assert!(told.error.contains("4 blocks can be undone"), "{}", told.error);
}

#[test]
fn several_files_follow_each_other_and_the_order_of_their_fields_means_nothing() {
    let scene = Scene::new(9);
    // The parser's own order: blocks come before the state that they start with.
    edit(&scene, "chain.json", "b.json", |_| ());
    edit(&scene, "chain.json", "a.json", |case| {
        blocks(case).truncate(4);
        case["lastblockhash"] = case["blocks"][3]["blockHeader"]["hash"].clone();
    });
    let told = scene.chain("kept", &["--import", "a.json", "b.json", "--verify"]);
    assert_eq!(told.last_line(), scene.line(9));
    assert!(told.output.contains("imported 9 blocks with"), "{}", told.output);
}

#[test]
fn what_is_undone_can_be_imported_again() {
    let scene = Scene::new(20);
    scene.chain("kept", &["--import", "chain.json"]).last_line();
    for undone in [1, 6, 13] {
        let told = scene.chain("kept", &["--revert", &undone.to_string(), "--verify"]);
        assert_eq!(told.last_line(), scene.line(20 - undone));
        let told = scene.chain("kept", &["--import", "chain.json", "--verify"]);
        assert_eq!(told.last_line(), scene.line(20));
    }
    let told = scene.chain("kept", &["--revert", "20", "--import", "chain.json"]);
    assert_eq!(told.last_line(), scene.line(20));
    assert_eq!(scene.chain("kept", &["--revert", "21"]).status, Some(2));
}

#[test]
fn another_branch_is_refused_until_the_chain_goes_back() {
    let scene = Scene::new(9);
    // Other traffic after the same first block.
    let branch = scene.write("branch.json", ChainRecipe { kind: Kind::Transfers, ..RECIPE }, 7);
    assert_eq!(branch[0], scene.headers[0]);
    scene.chain("kept", &["--import", "chain.json"]).last_line();
    let told = scene.chain("kept", &["--import", "branch.json"]);
    assert_eq!(told.status, Some(2));
    for named in [&scene.headers[1].hash_slow().to_string(), &branch[1].hash_slow().to_string(), "--revert 9"]
    {
        assert!(told.error.contains(named), "{}", told.error);
    }
    assert_eq!(told.output.lines().last(), Some(&*scene.line(9)));
    let both = scene.chain("kept", &["--revert", "9", "--import", "branch.json", "--verify"]);
    assert_eq!(both.last_line(), line(&branch[7]));
    let alone = scene.chain("alone", &["--import", "branch.json", "--verify"]);
    assert_eq!(alone.last_line(), both.last_line());
}

#[test]
fn another_genesis_is_refused_and_so_is_what_is_no_chain() {
    let scene = Scene::new(3);
    scene.chain("kept", &["--import", "chain.json"]).last_line();
    let other = scene.write("other.json", ChainRecipe { seed: 2, ..RECIPE }, 3);
    let told = scene.chain("kept", &["--import", "other.json"]);
    assert_eq!(told.status, Some(2));
    let named = [scene.headers[0].hash_slow(), other[0].hash_slow()];
    for hash in named {
        assert!(told.error.contains(&hash.to_string()), "{}", told.error);
    }
    assert_eq!(scene.chain("kept", &["--verify"]).last_line(), scene.line(3));

    for (name, text, why) in [
        ("text.json", "no JSON", "expected"),
        ("empty.json", "{}", "no case at all"),
        ("half.json", "{\"a\": {\"network\": \"Osaka\"}}", "missing field `pre`"),
        ("network.json", "{\"a\": {\"network\": 5}}", "cases[\"a\"].network"),
    ] {
        fs::write(scene.path(name), text).unwrap();
        let told = scene.chain("new", &["--import", name]);
        assert_eq!(told.status, Some(2), "{name}");
        assert!(told.error.contains(name) && told.error.contains(why), "{}", told.error);
    }
    assert!(!scene.path("new").exists());
    let told = scene.chain("kept", &["--import", "chain.json", "--case", "nobody"]);
    assert_eq!(told.status, Some(2));
    assert!(told.error.contains("cases[\"nobody\"]"), "{}", told.error);
}

#[test]
fn a_refused_block_leaves_those_before_it() {
    let scene = Scene::new(8);
    let spoil = |case: &mut Value| {
        // Another receipts root than the one that the header is to have.
        let rlp = blocks(case)[5]["rlp"].as_str().unwrap().to_owned();
        let root = scene.headers[6].receipts_root.to_string();
        let spoiled = rlp.replace(&root[2..], &"77".repeat(32));
        assert_ne!(rlp, spoiled);
        blocks(case)[5]["rlp"] = spoiled.into();
    };
    edit(&scene, "chain.json", "spoiled.json", spoil);
    let told = scene.chain("kept", &["--import", "spoiled.json"]);
    assert_eq!(told.status, Some(1));
    assert!(told.error.contains("spoiled.json: block 6: outcome: receipts root"), "{}", told.error);
    assert_eq!(told.output.lines().last(), Some(&*scene.line(5)));
    edit(&scene, "chain.json", "torn.json", |case| blocks(case)[6]["rlp"] = json!("0xf902"));
    let told = scene.chain("kept", &["--import", "torn.json"]);
    assert_eq!(told.status, Some(1));
    assert!(told.error.contains("torn.json: blocks[6]: the block does not decode"), "{}", told.error);
    assert_eq!(told.output.lines().last(), Some(&*scene.line(6)));
    assert_eq!(scene.chain("kept", &["--import", "chain.json", "--verify"]).last_line(), scene.line(8));
}

#[test]
fn a_chain_that_does_not_begin_or_end_as_its_file_says_is_refused() {
    let scene = Scene::new(2);
    edit(&scene, "chain.json", "end.json", |case| {
        case["lastblockhash"] = json!(format!("0x{}", "11".repeat(32)));
    });
    let told = scene.chain("end", &["--import", "end.json"]);
    assert_eq!(told.status, Some(1));
    assert!(told.error.contains("it says that it ends in block 0x1111"), "{}", told.error);

    edit(&scene, "chain.json", "begin.json", |case| {
        let account = case["pre"].as_object_mut().unwrap().values_mut().next().unwrap();
        account["balance"] = json!("0x7");
    });
    let told = scene.chain("begin", &["--import", "begin.json"]);
    assert_eq!(told.status, Some(1));
    assert!(told.error.contains("begin.json: genesis: the header says the state root"), "{}", told.error);
    assert_eq!(scene.chain("begin", &[]).status, Some(2), "it was never finished");
    assert_eq!(scene.chain("begin", &["--import", "chain.json"]).last_line(), scene.line(2));

    assert_eq!(scene.chain("nowhere", &["--verify"]).status, Some(2));
    assert!(!scene.path("nowhere").exists());
}

#[test]
fn who_interrupts_an_import_finds_the_blocks_up_to_there() {
    let scene = Scene::new(60);
    let arguments = ["--import", "chain.json", "--blocks-per-write", "1"];
    let mut command = command(&scene.path("kept"), &arguments);
    let child =
        command.current_dir(scene.folder.path()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    // It listens before it makes a folder.
    while !scene.path("kept").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let told = told(child.wait_with_output().unwrap());
    // It may have been done before it was asked to stop.
    assert!(matches!(told.status, Some(130 | 0)), "{:?}", told.status);
    assert_eq!(scene.chain("kept", &["--import", "chain.json", "--verify"]).last_line(), scene.line(60));
}

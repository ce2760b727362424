//! The cache of compiled components: used when it can be trusted, replaced or left alone when not.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use hookbox::{config::SandboxConfig, sandbox::Sandbox};

use super::guest::{config, echo, render, request};

fn artifacts(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    files.sort();
    files
}

/// Loads the echo guest in a new sandbox with this cache and runs it.
async fn start(config: &SandboxConfig, dir: &Path) {
    let sandbox = Sandbox::new(config, Some(dir)).expect("a sandbox");
    let transformer = sandbox.load("echo", &echo()).expect("fits");
    assert_eq!(
        request(&render(&sandbox, &transformer, "{}").await).body(),
        b"{}"
    );
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[tokio::test]
async fn the_second_start_uses_what_the_first_compiled_and_all_of_it_is_private() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    start(&config(), &dir).await;
    let [artifact] = artifacts(&dir).try_into().expect("one artifact");
    assert_eq!(
        (mode(&dir), mode(&dir.join("key")), mode(&artifact)),
        (0o700, 0o600, 0o600)
    );
    let written = fs::metadata(&artifact)
        .expect("there")
        .modified()
        .expect("a time");
    start(&config(), &dir).await;
    assert_eq!(
        fs::metadata(&artifact)
            .expect("there")
            .modified()
            .expect("a time"),
        written
    );
}

#[tokio::test]
async fn a_damaged_cut_or_foreign_artifact_is_replaced_and_not_loaded() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    start(&config(), &dir).await;
    let [artifact] = artifacts(&dir).try_into().expect("one artifact");
    let good = fs::read(&artifact).expect("readable");

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut mac_flipped = good.clone();
    mac_flipped[0] ^= 1;
    // what somebody who knows the format but not the key would write
    let mut unkeyed = vec![0; 32];
    unkeyed.extend_from_slice(&good[32..]);
    for bad in [
        &flipped[..],
        &mac_flipped,
        &unkeyed,
        &good[..good.len() - 1],
        &good[..10],
        b"",
    ] {
        fs::write(&artifact, bad).expect("writable");
        start(&config(), &dir).await;
        assert_eq!(
            fs::read(&artifact).expect("readable"),
            good,
            "it was replaced"
        );
    }
}

#[tokio::test]
async fn an_artifact_under_another_key_is_replaced() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    start(&config(), &dir).await;
    let [artifact] = artifacts(&dir).try_into().expect("one artifact");
    let old = fs::read(&artifact).expect("readable");
    for key in [&[7u8; 32][..], b"short"] {
        fs::write(dir.join("key"), key).expect("writable");
        start(&config(), &dir).await;
        let new = fs::read(&artifact).expect("readable");
        assert_ne!(new[..32], old[..32], "another MAC");
        assert_eq!(new[32..], old[32..], "over the same artifact");
    }
}

#[tokio::test]
async fn a_key_that_others_could_read_is_replaced() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    start(&config(), &dir).await;
    let key = dir.join("key");
    let old = fs::read(&key).expect("readable");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    start(&config(), &dir).await;
    assert_ne!(fs::read(&key).expect("readable"), old);
    assert_eq!(mode(&key), 0o600);
}

#[tokio::test]
async fn an_artifact_of_another_component_in_the_place_of_ours_is_not_loaded() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    start(&config(), &dir).await;
    let [ours] = artifacts(&dir).try_into().expect("one artifact");
    let good = fs::read(&ours).expect("readable");
    {
        let sandbox = Sandbox::new(&config(), Some(&dir)).expect("a sandbox");
        let other = super::guest::assemble(
            "other",
            r#"(func (export "transform") (param i32 i32 i32 i32) (result i32) (unreachable))"#,
        );
        sandbox.load("other", &other).expect("fits");
    }
    let other = artifacts(&dir)
        .into_iter()
        .find(|path| *path != ours)
        .expect("a second one");
    fs::copy(&other, &ours).expect("copied");
    // `start` would see the other one's trap
    start(&config(), &dir).await;
    assert_eq!(fs::read(&ours).expect("readable"), good);
}

#[tokio::test]
async fn an_engine_with_other_settings_has_artifacts_of_its_own() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    start(&config(), &dir).await;
    start(
        &SandboxConfig {
            fuel: 1_000_000,
            ..config()
        },
        &dir,
    )
    .await;
    assert_eq!(
        artifacts(&dir).len(),
        1,
        "the amount of fuel is not compiled in"
    );
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_left_alone() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    fs::create_dir(&dir).expect("made");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("set");
    start(&config(), &dir).await;
    assert_eq!(fs::read_dir(&dir).expect("readable").count(), 0);
}

#[tokio::test]
async fn a_symbolic_link_in_the_folders_place_is_left_alone() {
    let home = tempfile::tempdir().expect("a folder");
    let (real, dir) = (home.path().join("real"), home.path().join("cache"));
    fs::create_dir(&real).expect("made");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).expect("set");
    symlink(&real, &dir).expect("linked");
    start(&config(), &dir).await;
    assert_eq!(fs::read_dir(&real).expect("readable").count(), 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_costs_only_the_cache() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("file");
    fs::write(&file, "").expect("written");
    start(&config(), &file.join("cache")).await;
}

#[tokio::test]
async fn the_folder_keeps_its_size_and_lets_go_what_was_used_longest_ago() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    let load = |config: &SandboxConfig, n| {
        let sandbox = Sandbox::new(config, Some(&dir)).expect("a sandbox");
        sandbox.load("numbered", &numbered(n)).expect("fits");
    };
    load(&config(), 0);
    let [first] = artifacts(&dir).try_into().expect("one artifact");
    let size = fs::metadata(&first).expect("there").len();
    load(&config(), 1);
    // The first is used again, so the second is what was used longest ago.
    load(&config(), 0);
    let room_for_two = SandboxConfig {
        cache_bytes: 2 * size + size / 2,
        ..config()
    };
    load(&room_for_two, 2);
    let left = artifacts(&dir);
    assert_eq!(left.len(), 2);
    assert!(left.contains(&first));
    // Whatever the bound, what was made just now stays.
    load(
        &SandboxConfig {
            cache_bytes: 1,
            ..config()
        },
        3,
    );
    assert_eq!(artifacts(&dir).len(), 1);
}

/// Components that are all the same but for a number, and so of one size when they are compiled.
fn numbered(n: usize) -> Vec<u8> {
    let text = format!(
        r#"(data (i32.const 4096) "{n}")
           (func (export "transform") (param i32 i32 i32 i32) (result i32)
             (call $skip (i32.const 4096) (i32.const 1)))"#
    );
    super::guest::assemble("numbered", &text)
}

#[tokio::test]
async fn who_has_more_than_a_share_of_the_folder_makes_room_and_nobody_else() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    let load = |config: &SandboxConfig, owner: &str, n| {
        let sandbox = Sandbox::new(config, Some(&dir)).expect("a sandbox");
        sandbox.load_for(owner, &numbered(n)).expect("fits");
    };
    load(&config(), "small", 0);
    let [small] = artifacts(&dir).try_into().expect("one artifact");
    let room_for_three = SandboxConfig {
        cache_bytes: fs::metadata(&small).expect("there").len() * 7 / 2,
        ..config()
    };
    for n in 1..6 {
        load(&room_for_three, "greedy/../..", n);
        assert!(small.exists(), "after {n}");
    }
    assert_eq!(artifacts(&dir).len(), 3);
    // Whoever it was compiled for, there is one file, which all find.
    let sandbox = Sandbox::new(&room_for_three, Some(&dir)).expect("a sandbox");
    sandbox.load_for("other", &numbered(0)).expect("fits");
    assert_eq!(artifacts(&dir).len(), 3);
    assert!(small.exists());
}

#[tokio::test]
async fn what_is_admitted_is_kept_when_it_is_wanted() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    let sandbox = Sandbox::new(&config(), Some(&dir)).expect("a sandbox");
    let plugins = hookbox::config::Config::defaults().plugins;
    let admitted = sandbox
        .admit("numbered", &numbered(0), &plugins)
        .expect("fits");
    assert!(artifacts(&dir).is_empty());
    sandbox.keep("somebody", &admitted.transformer);
    assert_eq!(artifacts(&dir).len(), 1);
    drop((sandbox, admitted));
    let nowhere = PathBuf::from("/nowhere/hookbox");
    let sandbox = Sandbox::with_compiler(&config(), Some(&dir), nowhere).expect("a sandbox");
    sandbox
        .load("numbered", &numbered(0))
        .expect("compiled before");
}

#[tokio::test]
async fn what_nobody_has_used_for_a_month_does_not_keep_others_small() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = home.path().join("cache");
    let load = |config: &SandboxConfig, owner: &str, n| {
        let sandbox = Sandbox::new(config, Some(&dir)).expect("a sandbox");
        sandbox.load_for(owner, &numbered(n)).expect("fits");
    };
    for n in 0..5 {
        load(&config(), &n.to_string(), n);
    }
    let idle = artifacts(&dir);
    let left = || idle.iter().filter(|file| file.exists()).count();
    let room_for_six = SandboxConfig {
        cache_bytes: fs::metadata(&idle[0]).expect("there").len() * 13 / 2,
        ..config()
    };
    load(&room_for_six, "busy", 5);
    load(&room_for_six, "busy", 6);
    assert_eq!((artifacts(&dir).len(), left()), (6, 5));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 24 * 3600);
    for file in &idle {
        let file = fs::File::options().write(true).open(file).expect("there");
        let times = fs::FileTimes::new().set_accessed(long_ago);
        file.set_times(times).expect("set");
    }
    load(&room_for_six, "busy", 7);
    assert_eq!((artifacts(&dir).len(), left()), (6, 4));
}

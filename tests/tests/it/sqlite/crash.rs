//! A process that dies, and a disk that is full.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use hookbox::{backend::BackendError, model::DeliveryId};

use super::{child, open_in};
use crate::contract::bed::{event, tenant};

/// Sends and says what was accepted, until it is killed.
#[tokio::test]
#[ignore = "the child of what_was_accepted_outlives_a_killed_process"]
async fn accept_until_killed() {
    let (_backend, bed) = open_in(&child::dir()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    loop {
        let id = bed.send_one(&t, &hook).await;
        println!("\naccepted {id}");
        bed.claim_for(1, crate::contract::bed::LONG).await;
    }
}

#[tokio::test]
async fn what_was_accepted_outlives_a_killed_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = child::command("sqlite::crash::accept_until_killed", dir.path(), "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut accepted = Vec::new();
    while accepted.len() < 30 {
        let line = lines.next().expect("the child goes on").unwrap();
        accepted.extend(line.strip_prefix("accepted ").map(DeliveryId::from));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        accepted.extend(line.strip_prefix("accepted ").map(DeliveryId::from));
    }
    let (_backend, bed) = open_in(dir.path()).await;
    let claimed = crate::contract::bed::ids(&bed.claim_all().await);
    // The last line may be cut off.
    accepted.retain(|id| id.as_str().len() == DeliveryId::generate().as_str().len());
    for id in &accepted {
        assert!(claimed.contains(id), "{id} was accepted and is lost");
    }
}

/// Fills what it may write, sees that it fails as it should, and goes on when there is room again.
#[tokio::test]
#[ignore = "the child of a_full_disk_fails_steps_and_not_the_process"]
async fn fill_the_disk() {
    let (_backend, bed) = open_in(&child::dir()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let mut accepted = Vec::new();
    let full = loop {
        let batch = (0..50).map(|_| event(&t, &[&hook])).collect();
        match bed.enqueue(batch).await {
            Ok(answers) => accepted.extend(answers.into_iter().flat_map(|a| a.deliveries)),
            Err(error) => break error,
        }
    };
    let passing = matches!(
        full,
        BackendError::Full(_) | BackendError::Unavailable { .. }
    );
    assert!(passing, "{full:?}");
    // What was accepted can still be read.
    let view = bed.overview(Some(&t)).await.unwrap();
    assert_eq!(view.queued, accepted.len() as u64);
    // Room again: the soft limit is ours to lift.
    let lifted = std::process::Command::new("prlimit")
        .args([
            "--fsize=unlimited",
            "--pid",
            &std::process::id().to_string(),
        ])
        .status()
        .unwrap();
    assert!(lifted.success());
    bed.ping().await.unwrap();
    accepted.push(bed.send_one(&t, &hook).await);
    assert_eq!(
        bed.overview(Some(&t)).await.unwrap().queued,
        accepted.len() as u64
    );
    println!("\nwent on after {} deliveries", accepted.len());
}

#[tokio::test]
async fn a_full_disk_fails_steps_and_not_the_process() {
    let dir = tempfile::tempdir().unwrap();
    // Files may grow to 1 MiB (`ulimit` counts in blocks of 512 bytes or of 1 KiB, by shell).
    let limits = "trap '' XFSZ; ulimit -S -f 1024;";
    let output = child::command("sqlite::crash::fill_the_disk", dir.path(), limits)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("went on after"), "{text}");
}

/// Fills a disk of its own, which holds a little that can be removed.
#[tokio::test]
#[ignore = "the child of a_disk_without_space_loses_nothing"]
async fn fill_a_real_disk() {
    let dir = child::dir();
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let data = dir.join("data");
    let (backend, bed) = open_in(&data).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let mut accepted = Vec::new();
    let full = loop {
        let batch = (0..50).map(|_| event(&t, &[&hook])).collect();
        match bed.enqueue(batch).await {
            Ok(answers) => accepted.extend(answers.into_iter().flat_map(|a| a.deliveries)),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, BackendError::Full(_)), "{full:?}");
    // Nothing of the refused batch is there, and what was accepted can be read.
    let view = bed.overview(Some(&t)).await.unwrap();
    assert_eq!(view.queued, accepted.len() as u64);
    std::fs::remove_file(&ballast).unwrap();
    bed.ping().await.unwrap();
    accepted.push(bed.send_one(&t, &hook).await);
    // And it is whole: a start checks the file.
    backend.close().await;
    let (_backend, bed) = open_in(&data).await;
    let mut claimed = Vec::new();
    while claimed.len() < accepted.len() {
        let some = bed.claim_all().await;
        assert!(!some.is_empty());
        claimed.extend(crate::contract::bed::ids(&some));
        for leased in some {
            bed.end(&leased.token, hookbox::record::Next::Finished)
                .await;
        }
    }
    assert_eq!(claimed, accepted);
    println!("\nwent on after {} deliveries", accepted.len());
}

#[tokio::test]
async fn a_disk_without_space_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A disk in memory that only the child sees, and that goes with it. More than SQLite's log reaches
    // before it is written back into the file (4 MB), less than both together.
    let mount = "mount -t tmpfs -o size=8m hookbox \"$HOOKBOX_TEST_DIR\"";
    let probe = std::process::Command::new("unshare")
        .args(["-rm", "sh", "-c", mount])
        .env("HOOKBOX_TEST_DIR", dir.path())
        .output();
    match probe {
        Ok(output) if output.status.success() => {}
        refused => {
            println!("skipped: this machine does not let us mount a small disk: {refused:?}");
            return;
        }
    }
    let limits = format!("exec unshare -rm sh -c '{mount} && exec \"$0\" \"$@\"' \"$0\" \"$@\";");
    let output = child::command("sqlite::crash::fill_a_real_disk", dir.path(), &limits)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("went on after"), "{text}");
}

//! What every command keeps to: help, exit codes, one line for an error, broken pipes.

use std::{io::Read, net::TcpListener, process::Stdio};

use hookbox_tests::process::{hookbox, run, stderr, stdout};

#[test]
fn help_and_version_are_success() {
    for arguments in [
        &["--help"][..],
        &["help", "receiver"],
        &["deliveries", "list", "--help"],
        &["--version"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_to_do() {
    for (arguments, hint) in [
        (&[][..], "Usage"),
        (&["recieve"], "receiver"),
        (&["receiver", "--port", "70000"], "--port"),
        (&["receiver", "--status", "99"], "--status"),
        (&["receiver", "--delay=-1"], "seconds"),
        (&["receiver", "--fail-every", "0"], "--fail-every"),
        (
            &["deliveries", "list", "--status", "lost"],
            "must be one of queued",
        ),
        (&["deliveries", "list", "--since", "yesterday"], "2h or 7d"),
        (&["deliveries", "requeue"], "--all-matching"),
        (&["deliveries", "cancel"], "--webhook"),
        (&["serve", "--listen", "8844"], "127.0.0.1:8844"),
        (&["serve", "--allow-network", "localhost"], "10.0.0.0/8"),
        (
            &["send", "--url", "ftp://x", "/dev/null"],
            "http:// or https://",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains(hint),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    for arguments in [
        &["send", "/does/not/exist"][..],
        &["apply", "-f", "/does/not/exist"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            stderr(&output),
            "hookbox: cannot read /does/not/exist: No such file or directory (os error 2)\n"
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_one_line_that_says_what_to_do() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let output = run(&["deliveries", "list", "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(
        error.starts_with(&format!("hookbox: cannot reach hookbox at {url}/ (")),
        "{error}"
    );
    assert!(error.contains("hookbox serve"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = hookbox()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut error = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut error)
        .unwrap();
    assert_eq!(error, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_configuration_in_force_shows_where_it_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[worker]\nconcurrency = 7\n").unwrap();
    let output = hookbox()
        .args(["config", "--config"])
        .arg(&file)
        .env("HOOKBOX__GUARD__ALLOW_HOSTS", "[\"awx.internal\"]")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("\nconcurrency = 7\n"), "{text}");
    assert!(
        text.contains("\nallow_hosts = [\"awx.internal\"]\n"),
        "{text}"
    );

    std::fs::write(&file, "[worker]\nconcurency = 7\n").unwrap();
    let output = hookbox()
        .args(["config", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("concurency"),
        "{}",
        stderr(&output)
    );
}

//! Every form of a secret, at every place where a chunk or a long line may be cut.

use proptest::prelude::*;

use super::*;
use crate::event::Activity;

const TOKEN: &str = "abcdef.0123456789abcdef";
const KEY: &str = "c0ffee00c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77";
/// Nobody's: made up for this test.
const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIJq+fT/Zk3b0sN4vYQm5d1R8u2Xc7Ww6Lh9aPpE0KtGoAoGCCqGSM49\nAwEHoUQDQgAE5x7dQ2r+mV1k/9sYb3Jc8Tn4Lz6UwXh0aGfPq\n-----END EC PRIVATE KEY-----\n";

fn material() -> JoinMaterial {
    JoinMaterial {
        token: Secret::new(TOKEN.to_owned()),
        certificate_key: Secret::new(KEY.to_owned()),
        ca_pem: None,
    }
}

fn redactor() -> Redactor {
    let planted = [TOKEN, "0123456789abcdef", KEY, PEM, "pass/word+with \"quotes\""];
    Redactor::new(&planted.map(|text| Secret::new(text.to_owned())))
}

/// What no line may hold: each form, and of long ones a part that would do.
fn needles(redactor: &Redactor) -> Vec<String> {
    redactor.needles.iter().map(|needle| needle.expose().to_owned()).collect()
}

fn stream(redactor: &Redactor, chunks: &[&[u8]]) -> Vec<String> {
    let mut stream = Stream::new(redactor.clone());
    let mut lines: Vec<String> = chunks.iter().flat_map(|chunk| stream.push(chunk)).collect();
    lines.extend(stream.finish());
    lines
}

#[test]
fn a_secret_is_hidden_in_every_form_at_every_split() {
    let redactor = redactor();
    for needle in needles(&redactor) {
        let line = format!("kubeadm said: {needle} and went on\n");
        for split in 0..=line.len() {
            let (one, two) = line.as_bytes().split_at(split);
            let lines = stream(&redactor, &[one, two]);
            assert_eq!(lines, ["kubeadm said: (secret) and went on"], "{needle} at {split}");
        }
    }
}

#[test]
fn a_long_line_is_cut_and_no_secret_with_it() {
    let redactor = redactor();
    for needle in needles(&redactor) {
        let margin = needle.len() + 2;
        // Everywhere about the place of the cut, first and last letters included.
        for before in LONGEST_LINE - 32 - margin..LONGEST_LINE - 30 {
            let line = "~ ".repeat(before / 2) + "~".repeat(before % 2).as_str();
            let line = format!("{line}{needle} {}\n", "y ".repeat(700));
            let lines = stream(&redactor, &[line.as_bytes()]);
            assert!(lines.iter().all(|line| line.len() <= LONGEST_LINE));
            assert!(lines.len() >= 2 && lines[0].ends_with('…'));
            let whole = lines.concat().replace('…', "");
            let wanted = line.trim_end_matches('\n').replace(&needle, "(secret)");
            let same = whole.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
            let differs = whole.get(same.saturating_sub(20)..).map(|rest| rest.chars().take(80));
            let differs = differs.map(Iterator::collect::<String>);
            assert!(whole == wanted, "{needle} after {before}: {differs:?}");
        }
    }
}

#[test]
fn a_shape_without_end_hides_the_rest_of_its_line_and_no_more() {
    for opening in ["eyJhbGciOiJSUzI1NiJ9.", "Authorization: Bearer ", "qrt1_", "bearer "] {
        for before in LONGEST_LINE - 60..LONGEST_LINE - 30 {
            let secret = "s3cret".repeat(10_000);
            let text = format!("{}{opening}{secret}\nnext\n", " ".repeat(before));
            let lines = stream(&Redactor::default(), &[text.as_bytes()]);
            assert!(!lines.concat().contains("s3cret"), "{opening} at {before}");
            assert_eq!(lines.last().map(String::as_str), Some("next"));
        }
    }
}

#[test]
fn a_private_key_is_hidden_until_its_end_however_it_is_cut() {
    let text = format!("before\n{PEM}after\n");
    for split in 0..=text.len() {
        let (one, two) = text.as_bytes().split_at(split);
        let lines = stream(&Redactor::default(), &[one, two]);
        let hidden = "(secret)";
        assert_eq!(lines, ["before", hidden, hidden, hidden, hidden, "after"], "{split}");
    }
    let inline = format!("key: \"{}\" after", PEM.replace('\n', "\\n"));
    assert_eq!(Redactor::default().text(&inline), "key: \"(secret)\\n\" after");
    // One that never ends hides what follows, over cuts and lines.
    let endless = format!(
        "{}-----BEGIN PRIVATE KEY-----{}\nMII\n",
        " ".repeat(LONGEST_LINE - 40),
        "MII".repeat(20_000)
    );
    assert!(!stream(&Redactor::default(), &[endless.as_bytes()]).concat().contains("MII"));
}

#[test]
fn secrets_that_nobody_told_of_are_known_by_their_shape() {
    let none = Redactor::default();
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
    let base64 = forms::within_base64(&format!("prefix\n{PEM}"));
    let hidden = [
        (format!("--token {TOKEN} --x"), "--token (secret) --x"),
        (format!("\"{TOKEN}\""), "\"(secret)\""),
        (format!("a\\n{TOKEN}"), "a\\n(secret)"),
        (format!("--certificate-key {KEY}"), "--certificate-key (secret)"),
        (format!("\"certificateKey\": \"{KEY}\","), "\"certificateKey\": \"(secret)\","),
        (format!("  {KEY} "), "  (secret) "),
        (format!("token {}", "qrt1_0123456789abc"), "token (secret)"),
        ("authorization: Basic YTpi".to_owned(), "authorization:(secret)"),
        ("-H 'Authorization: Bearer abc' url".to_owned(), "-H 'Authorization:(secret)"),
        (format!("using Bearer {}", "x".repeat(20)), "using Bearer (secret)"),
        (format!("jwt={jwt}&x"), "jwt=(secret)&x"),
        (format!("client-key-data: {} x", base64[0]), "client-key-data: (secret) x"),
        (format!("data: {} x", base64[1]), "data: (secret) x"),
        (format!("data: {} x", base64[2]), "data: (secret) x"),
    ];
    for (said, shown) in hidden {
        assert_eq!(none.text(&said), shown);
    }
    let kept = [
        format!("sha256:{KEY}"),
        format!("{KEY}  /usr/bin/kubeadm"),
        "node.kubernetes.io and release.v1234567890123456".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "authorization:".to_owned(),
        "-----BEGIN CERTIFICATE-----".to_owned(),
        "-----BEGIN PUBLIC KEY-----".to_owned(),
        "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t".to_owned(),
        "eyJub3QiOiJhIHRva2VuIn0".to_owned(),
    ];
    for said in kept {
        assert_eq!(none.text(&said), said);
    }
}

#[test]
fn of_secrets_that_overlap_no_tail_is_left() {
    let secrets = ["secret-one", "one-is-longer", "aaaaaaaa"].map(|s| Secret::new(s.to_owned()));
    let redactor = Redactor::new(&secrets);
    assert_eq!(redactor.text("a secret-one-is-longer z"), "a (secret) z");
    assert_eq!(redactor.text("aaaaaaaaaaaaa"), "(secret)");
    assert!(Redactor::new(&[Secret::new("short".to_owned())]).needles.is_empty());
}

#[test]
fn an_event_is_clean_in_all_its_parts() {
    let clean = || Redactor::of(&material());
    let said = format!("kubeadm join --token {TOKEN} \u{1b}[1m{KEY}");
    let drift = || Drift::new(said.clone(), said.clone(), said.clone());
    let texts = || vec![said.clone(), format!("one\n{said}")];
    let failure = Failure {
        causes: texts(),
        output: texts(),
        journal: texts(),
        advice: Some(said.clone()),
        transient: false,
    };
    let activity = Activity { kind: crate::ActivityKind::Own, text: said.clone() };
    let events = [
        Event::Output { line: said.clone() },
        Event::Activity(activity),
        Event::Ended { finding: Finding::Drifted(vec![drift()]), failure: Some(failure) },
        Event::Ended { finding: Finding::Unknown { why: said.clone() }, failure: None },
        Event::Ended { finding: Finding::Refused { why: said.clone() }, failure: None },
    ];
    for event in events {
        let mentions = format!("{event:?}").matches("kubeadm join").count();
        let printed = format!("{:?}", Lines::new(clean()).event(event));
        assert!(!printed.contains("0123456789") && !printed.contains(KEY), "{printed}");
        assert_eq!(printed.matches("--token (secret) (secret)").count(), mentions, "{printed}");
    }
}

#[test]
fn a_line_says_what_a_terminal_would_end_up_showing() {
    let text = b" 5%\r 99%\r\n\xff\x1b[1mthree\x00\n\n1\r2\nlast";
    let lines = stream(&Redactor::default(), &[text]);
    assert_eq!(lines, [" 99%", "\u{fffd}three", "", "2", "last"]);
    assert_eq!(Lines::default().line(&"ä".repeat(20_000)).len(), LONGEST_LINE - 1);
}

#[test]
fn a_line_without_end_takes_no_memory_and_linear_time() {
    let mut stream = Stream::new(redactor());
    let block = b"no end in sight ".repeat(1 << 12);
    let mut lines = 0;
    for _ in 0..64 {
        lines += stream.push(&block).len();
        assert!(stream.unfinished.capacity() <= 4 * LONGEST_LINE);
    }
    assert_eq!(lines, (64 * block.len() - 1024) / (LONGEST_LINE - 32));
}

proptest! {
    #[test]
    fn chunks_make_no_difference(text in r"[ab.0\-\r\n\x1beyJä]{0,200}", at in 0_usize..200) {
        let redactor = redactor();
        let at = at.min(text.len());
        let (one, two) = text.as_bytes().split_at(at);
        prop_assert_eq!(stream(&redactor, &[text.as_bytes()]), stream(&redactor, &[one, two]));
    }
}

//! The log on disks that are full, cut off, changed by somebody, or gone.

use quorate_proto::OperationId;
use quorate_proto::audit::Entry;

use super::*;
use crate::host::Files as _;
use crate::host::fake::FakeHost;

const SEGMENT_1: &str = "/state/audit/000000000001.jsonl";

fn begun(number: u64) -> Deed {
    Deed::Begun { operation: OperationId(number.to_string()) }
}

async fn written(host: &FakeHost, lines: u64) -> Audit {
    let mut audit = Audit::open(host, "/state").await;
    for number in 0..lines {
        audit.record(host, begun(number)).await.unwrap();
    }
    audit
}

async fn all(host: &FakeHost, after: u64) -> Vec<Entry> {
    let (mut place, mut entries) = (None, Vec::new());
    while let Some(lines) = Audit::lines(host, "/state/audit", after, &mut place).await.unwrap() {
        entries.extend(lines.iter().map(|line| serde_json::from_str::<Entry>(line).unwrap()));
    }
    entries
}

#[tokio::test]
async fn a_log_goes_on_where_the_agent_before_left_it() {
    let host = FakeHost::bare();
    let head = written(&host, 3).await.head().cloned();
    let again = written(&host, 2).await;
    assert_eq!(head.map(|head| head.seq), Some(3));
    assert_eq!(again.head().map(|head| head.seq), Some(5));
    let entries = all(&host, 0).await;
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(all(&host, 3).await, entries[3..]);
    assert_eq!(all(&host, 5).await, []);
}

#[tokio::test]
async fn a_line_that_was_cut_short_anywhere_is_removed_and_told_of() {
    let host = FakeHost::bare();
    written(&host, 3).await;
    let whole = host.state().text(SEGMENT_1);
    let second = whole.match_indices('\n').nth(1).unwrap().0 + 1;
    for cut in second + 1..whole.len() {
        host.state().put(SEGMENT_1, whole.split_at(cut).0);
        let mut audit = Audit::open(&host, "/state").await;
        audit.record(&host, begun(9)).await.unwrap();
        let entries = all(&host, 0).await;
        let bytes = u64::try_from(cut - second).unwrap();
        assert_eq!(entries[2].deed, Deed::Mended { bytes }, "{cut}");
        assert_eq!((entries[3].seq, &entries[3].deed), (4, &begun(9)));
    }
    // A file that a power cut left longer than what was written to it.
    host.state().put(SEGMENT_1, &format!("{}\0\0\0", whole.split_at(second).0));
    assert_eq!(Audit::open(&host, "/state").await.head().unwrap().seq, 3);
}

#[tokio::test]
async fn damage_in_the_middle_refuses_further_lines_and_says_what_to_do() {
    let host = FakeHost::bare();
    written(&host, 4).await;
    let whole = host.state().text(SEGMENT_1);
    let lines: Vec<&str> = whole.lines().collect();
    let damages = [
        (whole.replacen("\"operation\":\"1\"", "\"operation\":\"7\"", 1), "line 3 does not follow"),
        ([lines[0], lines[2], lines[3], ""].join("\n"), "line 2 is missing: 3 is in its place"),
        (whole.replacen('{', "", 1), "line 1 is not one of an audit log"),
    ];
    for (damaged, why) in damages {
        host.state().put(SEGMENT_1, &damaged);
        let mut audit = Audit::open(&host, "/state").await;
        assert_eq!(audit.head(), None);
        let error = audit.record(&host, begun(9)).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("quorate audit accept"), "{error}");
        assert_eq!(host.state().text(SEGMENT_1), damaged, "evidence is left as it is");
    }
}

#[tokio::test]
async fn a_full_segment_is_followed_by_one_whose_first_line_carries_on() {
    let host = FakeHost::bare();
    let mut audit = written(&host, 1).await;
    let why = "x".repeat(1 << 20);
    for _ in 0..9 {
        let operation = OperationId("1".to_owned());
        let ended = Deed::Ended { operation, holds: true, why: why.clone() };
        audit.record(&host, ended).await.unwrap();
    }
    let names = host.list("/state/audit").await.unwrap();
    assert_eq!(names, ["000000000001.jsonl", "000000000005.jsonl", "000000000008.jsonl"]);
    assert_eq!(Audit::open(&host, "/state").await.head(), audit.head());
    assert_eq!(
        all(&host, 6).await.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [7, 8, 9, 10]
    );
    // The oldest may not go, nor one from the middle.
    for name in &names[..2] {
        let kept = host.state().files.remove(&format!("/state/audit/{name}")).unwrap();
        assert_eq!(Audit::open(&host, "/state").await.head(), None, "{name}");
        host.state().files.insert(format!("/state/audit/{name}"), kept);
    }
}

#[test]
fn a_text_in_a_line_is_short_and_holds_no_secret() {
    let said = format!("--token abcdef.0123456789abcdef {}", "ä".repeat(5_000));
    let kept = text(&Redactor::default(), &said);
    assert!(kept.starts_with("--token (secret) ä") && kept.len() <= TEXT, "{kept}");
}

#[tokio::test]
async fn the_oldest_segment_goes_once_a_line_says_where_it_ended() {
    let host = FakeHost::bare();
    let names = async || host.list("/state/audit").await.unwrap();
    let mut audit = written(&host, 1).await;
    audit.limits = Limits { segment: 2_000, segments: 3 };
    let mut number = 1;
    while names().await.len() < 3 {
        audit.record(&host, begun(number)).await.unwrap();
        number += 1;
    }
    let full = names().await;
    assert_eq!(full[0], "000000000001.jsonl", "no more than may be kept");
    // The removal fails: the line stands, and the log is whole with the old lines and goes on.
    host.interrupt_after(0);
    while names().await.len() < 4 {
        audit.record(&host, begun(number)).await.unwrap();
        number += 1;
    }
    assert!(host.revive());
    assert_eq!(Audit::open(&host, "/state").await.head(), audit.head());
    let old = host.state().text(SEGMENT_1);

    while names().await[0] == full[0] {
        audit.record(&host, begun(number)).await.unwrap();
        number += 1;
    }
    let left = names().await;
    assert_eq!((left.len(), &left[0]), (3, &full[2]), "all that is too many");
    let first = first_of(&left[0]);
    assert_eq!(all(&host, 0).await[0].seq, first);
    assert_eq!(all(&host, 2).await[0].seq, first, "whoever asks for older lines");
    let again = written(&host, 1).await;
    assert_eq!(again.head().map(|head| head.seq), audit.head().map(|head| head.seq + 1));

    // Nobody else may shorten it, and nothing old comes back that does not belong there.
    let kept = host.state().files.remove(&format!("/state/audit/{}", left[0])).unwrap();
    let mut beheaded = Audit::open(&host, "/state").await;
    let error = beheaded.record(&host, begun(0)).await.unwrap_err().to_string();
    let begins = format!("it begins at line {}", first_of(&left[1]));
    assert!(error.contains(&begins), "{error}");
    host.state().files.insert(format!("/state/audit/{}", left[0]), kept);
    assert!(Audit::open(&host, "/state").await.head().is_some());
    host.state().put(SEGMENT_1, &old);
    assert_eq!(Audit::open(&host, "/state").await.head(), None, "a gap behind it");
}

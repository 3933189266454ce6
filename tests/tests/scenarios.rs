//! Plays every scenario in tests/scenarios and compares. `UPDATE=1` writes what is found instead.

use std::path::Path;

use quorate_tests::scenario::play;

#[test]
fn every_scenario_plays_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let found = play(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &found).unwrap();
        } else {
            assert_eq!(found, text, "{} (UPDATE=1 rewrites it)", path.display());
        }
        assert!(found.lines().count() < 150, "{} is too long to read", path.display());
        played += 1;
    }
    assert!(played > 0, "no scenario was found");
}

//! A program that prints every secret it is given, in every way: none of them may be in what the agent
//! tells, logs or keeps.

use std::sync::Mutex;

use async_trait::async_trait;
use quorate_proto::{ActivityKind, Drift, JoinMaterial, Secret};

use super::*;
use crate::goal::{Ensure, Work};
use crate::host::HostError;

const TOKEN: &str = "canary.0123456789abcdef";
const KEY: &str = "badc0ffee0ddf00dbadc0ffee0ddf00dbadc0ffee0ddf00dbadc0ffee0ddf00d";
/// Known to nobody by its value; its body is what is looked for.
const PEM: &str =
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEcanarycanary+/canary\n-----END RSA PRIVATE KEY-----";

/// Any of these in a text is a leak.
fn canaries() -> Vec<String> {
    let json = r"MIIEcanarycanary+\/canary";
    let known = ["0123456789abcdef", KEY, "MIIEcanarycanary", json, "qrt1_canary", "eyJjYW5hcnki"];
    let mut canaries: Vec<String> = known.map(str::to_owned).into();
    canaries.push(quorate_proto::hex(b"0123456789abcdef"));
    canaries.push("MDEyMzQ1Njc4OWFiY2RlZ".to_owned()); // the half of the token in base64
    canaries
}

/// What a careless program prints.
fn babble() -> String {
    format!(
        "kubeadm join --token {TOKEN} --certificate-key {KEY}\ntoken-secret: \
         MDEyMzQ1Njc4OWFiY2RlZg==\nhex {}\n\u{1b}[1mcan\u{1b}[0mary.0123456789abcdef\n{PEM}\nAuthorization: Bearer \
         eyJjYW5hcnkiOiIxIn0.eyJjYW5hcnki.c2lnbmF0dXJl\nqrt1_canary0123456789\n[upload-certs] Using certificate \
         key:\n{KEY}",
        quorate_proto::hex(b"0123456789abcdef")
    )
}

/// Never holds, and says all it knows wherever it can.
struct Babbler;

#[async_trait]
impl Ensure for Babbler {
    async fn check(&self, _host: &dyn Host) -> Result<Finding, HostError> {
        Ok(Finding::Drifted(vec![Drift::new(babble(), babble(), babble())]))
    }

    async fn apply(&self, _host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        assert_eq!(work.material.unwrap().token.expose(), TOKEN);
        work.progress.doing(ActivityKind::Kubeadm, babble());
        babble().lines().for_each(|line| work.progress.output(line));
        let output = babble().lines().map(str::to_owned).collect();
        Err(HostError::Failed { command: babble(), status: 1, output })
    }
}

fn babbler(_goal: &Goal) -> &dyn Ensure {
    &Babbler
}

/// Takes what is logged, as it would be without the log's own filter.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_leaves_the_agent_by_what_it_tells_logs_or_keeps() {
    let logged = Logged::default();
    let writer = logged.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let log = log.with_writer(move || writer.clone()).finish();
    let _log = tracing::subscriber::set_default(log);

    let (site, name) = (SiteId::random(), NodeName::try_from("cp-1").unwrap());
    let roots = Roots::create(site, now()).unwrap();
    let fake = Arc::new(FakeHost::bare());
    fake.state().systemd.journal = format!("E1123 failed: {}", babble().replace('\n', " "));
    let host: Arc<dyn Host> = Arc::<FakeHost>::clone(&fake);
    let worker = Worker::open(Arc::clone(&host), babbler, "/state").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("executor.sock");
    let socket = UnixListener::bind(&path).unwrap();
    tokio::spawn(executor::listen(socket, Admission::of_this_process(), Arc::new(Local(worker))));
    let config = server_config(&node_credentials(&roots, &name)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    let executor = Arc::new(OverSocket::at(path));
    let service = server::service(executor, name.clone(), Access::of_site(site));
    tokio::spawn(async move {
        serve_until(std::future::pending(), Routes::new(service), incoming, &*host).await
    });
    let alice = OperatorName::try_from("alice").unwrap();
    let hour = Duration::from_hours(1);
    let credentials = roots.operator(&alice, Role::Admin, hour, now()).unwrap();
    let credentials = Arc::new(ArcSwap::from_pointee(credentials));
    let mut client = NodeClient::new(node_channel(address, &name, &site, credentials).unwrap());

    let term = Term { number: 1, run: RunId("r".to_owned()) };
    let secret = |text: &str| Secret::new(text.to_owned());
    let (token, certificate_key) = (secret(TOKEN), secret(KEY));
    let material = Some(JoinMaterial { token, certificate_key, ca_pem: None });
    let operation = OperationId("1".to_owned());
    let order = Order { operation, term, goal: Goal::Host(HostGoal::SwapOff), material };
    let mut request = node::EnsureRequest::from(&order);
    let events = client.ensure(request.clone()).await.unwrap().into_inner();
    let events: Vec<_> = events.map(Result::unwrap).collect().await;
    assert!(events.len() > 10, "{events:?}");
    let goals = node::CheckRequest::from([Goal::Host(HostGoal::SwapOff)].as_slice());
    let findings = client.check(goals).await.unwrap().into_inner();
    // Material that is not understood is not quoted either.
    request.material_json = request.material_json.replace("\"token\":", "\"tokens\":");
    let refused = client.ensure(request.clone()).await.map(drop).unwrap_err();
    request.material_json = format!("\"{KEY}\"");
    let quoted = client.ensure(request).await.map(drop).unwrap_err();
    let lines = client.audit(node::AuditRequest { after: 0 }).await.unwrap().into_inner();
    let lines: Vec<_> = lines.map(Result::unwrap).collect().await;

    let kept: Vec<String> = {
        let state = fake.state();
        let ours = state.files.iter().filter(|(path, _)| path.starts_with("/state/"));
        let shown = |(path, content): (&String, &Vec<u8>)| {
            format!("{path}: {}", String::from_utf8_lossy(content))
        };
        ours.map(shown).collect()
    };
    assert!(kept.len() == 2, "ledger and log: {kept:?}");
    let log = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("operation begins") && log.contains("ended"), "{log}");
    assert!(kept.iter().any(|file| file.starts_with("/state/audit/") && file.contains("ended")));
    let everything = [
        ("events", format!("{events:?}")),
        ("findings", format!("{findings:?}")),
        ("refusals", format!("{refused:?} {quoted:?}")),
        ("audit", format!("{lines:?}")),
        ("files", kept.join("\n")),
        ("log", log),
    ];
    for (place, text) in &everything {
        for canary in canaries() {
            let at = text.find(&canary);
            let around = at.map(|at| text.get(at.saturating_sub(60)..).unwrap_or_default());
            assert_eq!(
                around.map(|text| text.chars().take(160).collect::<String>()),
                None,
                "{place}"
            );
        }
    }
    assert!(everything[0].1.contains("--token (secret) --certificate-key (secret)"));
}

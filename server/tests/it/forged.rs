//! A worker is heard of its own tries only, whatever it knows of others': spoken by a client that
//! lies.

use subak_proto::server_message::Message as Heard;
use subak_proto::state_request::Operation;
use subak_proto::worker_message::Message as Said;
use subak_proto::{
    Answer, DeadLetter, DeadLetters, LogChunk, Outcome, Progress, Refused, Report, StateRequest,
    TryRef,
};
use subak_testkit::peek;

use crate::wire::{Wire, success};
use crate::world::World;

const ONE: &str = "{dag_id: one, tasks: {a: {operator: noop}}}";

fn log(of: TryRef, text: &str) -> Said {
    let lz4 = lz4_flex::block::compress_prepend_size(text.as_bytes()).into();
    Said::Log(LogChunk { r#try: Some(of), lz4, lines: 1, ..LogChunk::default() })
}

fn letters(of: TryRef) -> Said {
    let letter = DeadLetter { source: "forged.csv".to_owned(), ..DeadLetter::default() };
    let letters = vec![letter];
    Said::DeadLetters(DeadLetters { r#try: Some(of), letters, ..DeadLetters::default() })
}

async fn answer(worker: &mut Wire) -> anyhow::Result<Answer> {
    let answer = worker.until(|heard| match heard {
        Heard::ReportAnswers(all) => all.answers.first().map(|answer| answer.answer()),
        _ => None,
    });
    answer.await
}

/// What the server replies to a change of the task's state.
async fn put(worker: &mut Wire, of: TryRef) -> anyhow::Result<String> {
    let operation = Some(Operation::Put(b"1".to_vec()));
    let key = "offset".to_owned();
    worker.say(Said::State(StateRequest { id: 1, r#try: Some(of), key, operation }))?;
    let reply = worker.until(|heard| match heard {
        Heard::State(reply) => Some(reply.error),
        _ => None,
    });
    reply.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_of_another_worker_is_neither_ended_nor_written_to() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags(ONE).await?;
    let mut owner = Wire::join(server, 1).await?;
    let run = world.trigger("one").await?;
    let held = owner.assignments(1).await?[0].r#try.expect("an assignment names its try");

    let mut forger = Wire::join(server, 0).await?;
    // As the owner; and under its own session, where the fence knows better.
    let renamed = TryRef { session: forger.session, ..held };
    forger.say(log(held, "forged\n"))?;
    forger.say(log(renamed, "forged\n"))?;
    forger.until(|heard| matches!(heard, Heard::LogAck(_)).then_some(())).await?;
    for of in [held, renamed] {
        forger.say(letters(of))?;
        let note = "forged".to_owned();
        forger.say(Said::Progress(Progress { r#try: Some(of), note, ..Progress::default() }))?;
        forger.say(Said::Refused(Refused { tries: vec![of] }))?;
        assert_eq!(put(&mut forger, of).await?, "the try was superseded");
        // The last chunk of a log comes with the report, and must not win either.
        let Said::Log(tail) = log(of, "forged\n") else { unreachable!() };
        let tail = LogChunk { lz4: vec![0; 4_096].into(), ..tail };
        let mut report = Report { log: Some(tail), ..success(of) };
        report.set_outcome(Outcome::FailedPermanent);
        forger.report(vec![report])?;
        assert_eq!(answer(&mut forger).await?, Answer::Superseded);
    }
    forger.heard().await?;
    assert_eq!(peek::running(&world.store, run).await?, 1);
    assert_eq!(world.engine.progress(held.token), None);

    owner.say(log(held, "true\n"))?;
    owner.until(|heard| matches!(heard, Heard::LogAck(_)).then_some(())).await?;
    assert_eq!(put(&mut owner, held).await?, "");
    owner.report(vec![Report { dead_letter_chunks: 1, ..success(held) }])?;
    assert_eq!(answer(&mut owner).await?, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "success");
    assert_eq!(peek::log_text(&world.store, run).await?, "true\n");
    assert!(peek::dead_letters(&world.store).await?.is_empty());
    drop((owner, forger));
    world.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_resumed_and_succeeded_in_its_own_state_folder_only() -> anyhow::Result<()> {
    let (world, server) = World::served().await?;
    world.dags(ONE).await?;
    let mut owner = Wire::of_folder(server, "owner's").await?;
    let run = world.trigger("one").await?;
    let held = owner.assignments(1).await?[0].r#try.expect("an assignment names its try");
    let session = owner.session;
    drop(owner);

    let mut forger = Wire::hello(server, |hello| {
        (hello.session, hello.former_session) = (session, session);
        "forger's".clone_into(&mut hello.state_folder);
        hello.held = vec![held];
    })
    .await?;
    assert_ne!(forger.session, session);
    forger.report(vec![success(held)])?;
    assert_eq!(answer(&mut forger).await?, Answer::Superseded);

    // The worker that took the folder over brings what its former one had done.
    let mut successor = Wire::of_folder(server, "owner's").await?;
    assert_ne!(successor.session, session);
    successor.report(vec![success(held)])?;
    assert_eq!(answer(&mut successor).await?, Answer::Accepted);
    assert_eq!(world.ended(run).await?, "success");
    drop((forger, successor));
    world.close().await
}

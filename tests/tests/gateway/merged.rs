//! The merged view where windows came after later seconds: all ways to read it show the same.

use end_to_end::session::{heard, number};
use end_to_end::{Gateway, Shared};
use serde_json::{Value, json};

const MARK: u16 = 10;

async fn merged(gateway: &Gateway, session: &str, limit: u32) -> (u64, Vec<Value>) {
    let query = format!("stream_role=teacher&view=merged&limit={limit}");
    let path = format!("/v1/sessions/{session}/utterances?{query}");
    let page = gateway.get(&path).await.ok();
    (
        number(&page, "count"),
        page["items"].as_array().unwrap().clone(),
    )
}

#[tokio::test]
async fn a_view_out_of_order_is_the_same_in_parts_in_the_result_and_after_more_audio() {
    let gateway = Shared::gateway().await;
    let session = "merged-out-of-order";
    let mut teacher = gateway.open(session, "teacher").await;
    teacher.store_marked(MARK, 1..=12).await;
    let reset = format!("/v1/sessions/{session}/asr-reset?stream_role=teacher");
    assert_eq!(gateway.post(&reset, &json!({})).await.status, 200);
    teacher.store_marked(MARK, 13..=18).await;
    let run = format!("/v1/sessions/{session}/asr-run?stream_role=teacher&flush=true");
    let ran = gateway.post(&run, &json!({})).await.ok();
    assert_eq!(ran["generated"], 2, "{ran:#}");
    teacher.store_marked(MARK, 19..=21).await;
    teacher.close().await;
    gateway.finalize(session).await;

    let raw = gateway.utterances(session, "teacher", "raw").await;
    let sources: Vec<_> = raw
        .iter()
        .map(|item| item["utterance_id"].clone())
        .collect();
    let (count, all) = merged(&gateway, session, 1000).await;
    assert_eq!(count, all.len() as u64);
    let expected: Vec<_> = (1..=21).map(|seq| (MARK, seq)).collect();
    assert_eq!(
        heard(&all),
        expected,
        "each second once, in order: {all:#?}"
    );
    let of_merged: Vec<_> = all
        .iter()
        .flat_map(|item| item["source_utterance_ids"].as_array().unwrap().clone())
        .collect();
    assert_eq!(of_merged.len(), sources.len(), "{all:#?}");
    assert!(sources.iter().all(|id| of_merged.contains(id)), "{all:#?}");
    let starts: Vec<_> = all.iter().map(|item| number(item, "start_seq")).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    for last in 1..=all.len() {
        let (of, part) = merged(&gateway, session, u32::try_from(last).unwrap()).await;
        assert_eq!(of, count);
        assert_eq!(part, all[all.len() - last..], "the last {last}");
    }
    let result = gateway
        .get(&format!("/v1/sessions/{session}/result"))
        .await
        .ok();
    assert_eq!(result["utterances_merged_by_stream"]["teacher"], json!(all));
    assert_eq!(result["utterances_raw_by_stream"]["teacher"], json!(raw));
}

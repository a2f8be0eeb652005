//! Rules are kept as they are given, of each tenant, and changed by who has read them.

use super::*;

async fn shown(rules: &RecordingRules, of: &str) -> Vec<String> {
    let rules = rules.list(&tenant(of)).await.unwrap().rules;
    rules.into_iter().map(|rule| format!("{} {}", rule.metric_name, rule.generation)).collect()
}

async fn code(answer: impl Future<Output = Result<v1::UpsertRecordingRuleResponse, StatusError>>) -> ErrorCode {
    answer.await.unwrap_err().code
}

#[tokio::test]
async fn rules_are_kept_by_tenant_and_changed_by_generation() {
    let world = World::new(RecordingRulesConfig::default());
    let rules = world.rules();
    let (a, b) = (tenant("a"), tenant("b"));
    assert_eq!(shown(&rules, "a").await, Vec::<String>::new());
    let created = rules.upsert(&a, rule("m", "some")).await.unwrap().rule.unwrap();
    assert_eq!((created.generation, created.provisioned), (1, false));
    assert_eq!(rules.get(&a, &created.id).await.unwrap().rule, Some(created.clone()));
    assert_eq!(rules.get(&b, &created.id).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(shown(&rules, "b").await, Vec::<String>::new());

    let change =
        |generation| v1::UpsertRecordingRuleRequest { id: created.id.clone(), generation, ..rule("n", "some") };
    assert_eq!(code(rules.upsert(&a, change(0))).await, ErrorCode::AlreadyExists);
    assert_eq!(code(rules.upsert(&b, change(1))).await, ErrorCode::NotFound);
    assert_eq!(rules.upsert(&a, change(1)).await.unwrap().rule.unwrap().generation, 2);
    assert_eq!(code(rules.upsert(&a, change(1))).await, ErrorCode::AlreadyExists);
    assert_eq!(shown(&rules, "a").await, ["n 2"]);

    rules.upsert(&a, rule("o", "some")).await.unwrap();
    rules.upsert(&a, rule("p", "some")).await.unwrap();
    assert_eq!(code(rules.upsert(&a, rule("q", "some"))).await, ErrorCode::ResourceExhausted);
    rules.upsert(&a, change(2)).await.unwrap();
    rules.delete(&a, &created.id).await.unwrap();
    assert_eq!(rules.delete(&a, &created.id).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(rules.delete(&b, &created.id).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(shown(&rules, "a").await.len(), 2);
    assert_eq!(rules.store.tenants().await.unwrap(), [a, b]);
}

#[tokio::test]
async fn what_is_stored_is_read_for_ever() {
    let world = World::new(RecordingRulesConfig::default());
    let (rules, a) = (world.rules(), tenant("a"));
    let first = r#"{"format":1,"writer":"00","rules":{"01KAW0Z3ZSXQ8G7X7G2Z0Q3K4M":{"id":"01KAW0Z3ZSXQ8G7X7G2Z0Q3K4M","metric_name":"m",
        "matchers":["{__profile_type__=\"a:b:c:d:e\"}"],"group_by":["pod"],"external_labels":{"x":"y"},"function":"main.work","generation":3,
        "created_at_ms":1795359600000}}}"#;
    world.bucket.put("tenants/a/recording-rules/00000000000000000007.json", first.into()).await.unwrap();
    let rule = rules.get(&a, "01KAW0Z3ZSXQ8G7X7G2Z0Q3K4M").await.unwrap().rule.unwrap();
    assert_eq!((rule.profile_type.as_str(), rule.generation), ("a:b:c:d:e", 3));
    assert_eq!(rule.stacktrace_filter.unwrap().function_name.unwrap().function_name, "main.work");
    let window = r#"{"format":1,"writer":"00","start_ms":60000,"end_ms":120000,"rules":[{"id":"r","generation":1,"series":[
        {"labels":{"__name__":"m","pod":"p"},"value":-9007199254740993}]},{"id":"s","generation":1,"series":[],"failed":"why"}]}"#;
    world.bucket.put("tenants/a/recording-windows/00000000000000000009.json", window.into()).await.unwrap();
    let (place, window) = rules.store.windows.newest(&a).await.unwrap().unwrap();
    assert_eq!((place.number, window.end_ms, window.rules[0].series[0].value), (9, 120_000, -9_007_199_254_740_993));
    assert_eq!(window.rules[1].failed.as_deref(), Some("why"));
    world.bucket.put("tenants/a/recording-rules/00000000000000000008.json", "{".into()).await.unwrap();
    assert_eq!(rules.list(&a).await.unwrap_err().code, ErrorCode::DataLoss);
}

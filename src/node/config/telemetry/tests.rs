use super::*;

const SECRET: &str = "s3cr3t-value";

fn read_all(set: &[(&str, &str)]) -> Result<Option<Config>, String> {
    read(&Environment::of(set.iter().copied()), None).map_err(|error| error.to_string())
}

fn with(set: &[(&str, &str)]) -> Result<Config, String> {
    let endpoint = [(ENDPOINT, "http://collector:4318")];
    let set: Vec<_> = endpoint.iter().chain(set).copied().collect();
    read_all(&set).map(Option::unwrap)
}

#[test]
fn without_an_endpoint_or_anything_to_send_it_is_off() {
    let nonsense = ("OTEL_TRACES_SAMPLER", "nonsense");
    for set in [&[][..], &[(ENDPOINT, "")], &[nonsense]] {
        assert!(read_all(set).unwrap().is_none(), "{set:?}");
    }
    let none = [(ENDPOINT, "http://c"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
    assert!(read_all(&none).unwrap().is_none());
}

#[test]
fn an_endpoint_alone_gives_the_documented_defaults() {
    let Config { protocol, headers, timeout, roots, resource, spans, logs, .. } = with(&[]).unwrap();
    assert_eq!((protocol, timeout, roots), (Protocol::Http, Duration::from_secs(10), None));
    assert!(headers.is_empty());
    assert_eq!(resource["service.name"], "culvert-node");
    assert!(!resource.contains_key("k8s.pod.name"));
    let sampler = Sampler::ALL.or_as_parents_do();
    assert_eq!((spans, logs), (Some(Spans { sampler, queue: 2048 }), Some(2048)));
}

#[test]
fn an_endpoint_is_a_url_of_a_host() {
    for (text, understood) in [
        ("http://collector:4317", "http://collector:4317/"),
        ("https://collector:4317/", "https://collector:4317/"),
        ("http://collector", "http://collector:80/"),
        ("https://collector/otlp/", "https://collector:443/otlp/"),
        ("http://[fd00::1]", "http://[fd00::1]:80/"),
        ("http://[fd00::1]:4318/a/b", "http://[fd00::1]:4318/a/b"),
        (" http://127.0.0.1:4318 ", "http://127.0.0.1:4318/"),
    ] {
        assert_eq!(with(&[(ENDPOINT, text)]).unwrap().endpoint.to_string(), understood, "{text}");
    }
    for text in [
        "collector:4317",
        "collector",
        "grpc://collector:4317",
        "http://",
        "http://collector:port",
        "http://collector:99999",
        "http://collector?x=y",
        "/v1/traces",
        "http://two words",
    ] {
        let error = with(&[(ENDPOINT, text)]).unwrap_err();
        assert!(error.starts_with(&format!("{ENDPOINT}=`{text}`: ")), "{error}");
    }
    let error = with(&[(ENDPOINT, "http://me:s3cr3t-value@collector:4318")]).unwrap_err();
    assert!(error.contains(HEADERS) && !error.contains(SECRET), "{error}");
}

#[test]
fn one_wrong_value_is_one_clear_error() {
    for (name, values) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", &["http/json", "GRPC"][..]),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", &["0", "10s", "-1", "600001"]),
        ("OTEL_TRACES_EXPORTER", &["jaeger", "otlp,console"]),
        ("OTEL_LOGS_EXPORTER", &["console"]),
        ("OTEL_TRACES_SAMPLER", &["sometimes", "parentbased_", "parentbased_jaeger_remote"]),
        ("OTEL_BSP_MAX_QUEUE_SIZE", &["0", "many", "65537"]),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", &["0"]),
        ("OTEL_RESOURCE_ATTRIBUTES", &["a", "a=b,=c", "a=%4", "a=%zz", "a=%ff"]),
    ] {
        for value in values {
            let error = with(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}=`{value}`: ")), "{error}");
        }
    }
    for ratio in ["2", "-0.1", "half", "NaN"] {
        let set = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
        assert!(with(&set).unwrap_err().starts_with("OTEL_TRACES_SAMPLER_ARG="), "{ratio}");
        assert!(with(&set[1..]).is_ok(), "nobody looks at it");
    }
}

#[test]
fn headers_are_understood_and_never_shown() {
    let headers = |text| with(&[(HEADERS, text)]).map(|config| config.headers);
    let read = headers("api-key=s3cr3t-value, Tenant = a%20b%2Cc ,").unwrap();
    let texts: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(texts, [("api-key", SECRET), ("tenant", "a b,c")]);
    assert!(!format!("{:?}", with(&[(HEADERS, "api-key=s3cr3t-value")]).unwrap()).contains(SECRET));
    for text in ["s3cr3t-value", "=s3cr3t-value", "a=%s3cr3t-value", "b c=s3cr3t-value", "a=s3cr3t-value%0a"]
    {
        let error = headers(text).unwrap_err();
        assert!(error.starts_with(&format!("{HEADERS}: ")) && !error.contains(SECRET), "{error}");
    }
}

#[test]
fn this_process_is_what_is_said_of_it_and_what_is_known() {
    let resource = |set: &[(&str, &str)]| with(set).unwrap().resource;
    let known = [("POD_NAME", "node-x"), ("POD_NAMESPACE", "mesh"), ("NODE_NAME", "one")];
    let of_known = resource(&known);
    let keys = ["k8s.pod.name", "k8s.namespace.name", "k8s.node.name"];
    assert_eq!(keys.map(|key| of_known[key].as_str()), ["node-x", "mesh", "one"]);
    let said = ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=other,service.name=said,team=a%3Db");
    let of_said = resource(&[known[0], said]);
    assert_eq!(
        ["k8s.pod.name", "service.name", "team"].map(|key| of_said[key].as_str()),
        ["other", "said", "a=b"]
    );
    assert_eq!(resource(&[said, ("OTEL_SERVICE_NAME", "named")])["service.name"], "named");
}

#[test]
fn samplers_have_the_standards_names() {
    let sampler = |name, arg| {
        let set = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)];
        with(&set).unwrap().spans.unwrap().sampler
    };
    for (name, arg, expected) in [
        ("always_on", "", Sampler::ALL),
        ("always_off", "", Sampler::NONE),
        ("traceidratio", "0.25", Sampler::of(0.25)),
        ("traceidratio", "", Sampler::ALL),
        ("parentbased_always_on", "", Sampler::ALL.or_as_parents_do()),
        ("parentbased_always_off", "", Sampler::NONE.or_as_parents_do()),
        ("parentbased_traceidratio", "0.5", Sampler::of(0.5).or_as_parents_do()),
    ] {
        assert_eq!(sampler(name, arg), expected, "{name} {arg}");
    }
}

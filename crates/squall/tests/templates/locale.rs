//! `squall::locale` against what Tornado computes (corpus/locale.json), damaged files, and the language of a request.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value, json};
use squall::locale::{DateFormat, Encoding, LoadError, Locale, MoError, Translations, interpolate};
use squall::{Application, Context, Result, Site, get};

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/translations").join(name)
}

fn load(name: Option<&str>) -> Translations {
    match name {
        None => Translations::new(),
        Some(name) if name.starts_with("csv") => Translations::load_translations(directory(name)).unwrap(),
        Some(name) => Translations::load_gettext_translations(directory(name), "app").unwrap(),
    }
}

#[test]
fn the_corpus_holds() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("../corpus/locale.json")).unwrap();
    assert!(rows.len() > 1000, "{}", rows.len());
    let mut loaded = HashMap::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let name = row["load"].as_str();
        let translations = loaded.entry(name).or_insert_with(|| load(name));
        let translations = translations.clone().default_locale(row["default"].as_str().unwrap_or("en_US"));
        let out = compute(&translations, row);
        if out != row["out"] {
            wrong.push(format!("{row}\n    but: {out}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn compute(translations: &Translations, row: &Value) -> Value {
    let args = &row["args"];
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    let texts = strings(args);
    let call = row["call"].as_str().unwrap();
    match call {
        "supported" => return translations.supported_locales().collect(),
        "browser" => {
            let header = (!texts.is_empty()).then(|| texts.join(","));
            return translations.browser_locale(header.as_deref(), "en_US").code().into();
        }
        _ => {}
    }
    let codes = strings(&row["codes"]);
    let locale = translations.get_closest(codes.iter().map(String::as_str));
    let count = args.as_array().and_then(|args| args.last()?.as_i64());
    match (call, &texts[..], count) {
        ("code", ..) => locale.code().into(),
        ("name", ..) => locale.name().into(),
        ("rtl", ..) => locale.rtl().into(),
        ("translate", [message], None) => locale.translate(message).into(),
        ("translate", [one, many], Some(n)) => locale.translate_plural(one, many, n).into(),
        ("pgettext", [context, message], None) => locale.pgettext(context, message).into(),
        ("pgettext", [context, one, many], Some(n)) => locale.npgettext(context, one, many, n).into(),
        ("list", ..) => locale.list(&texts).into(),
        ("friendly_number", ..) => locale.friendly_number(args.as_i64().unwrap()).into(),
        ("format_date", ..) => locale
            .format_date(moment(&args["date"]), moment(&args["now"]), date_format(&args["options"]))
            .into(),
        ("format_day", ..) => {
            let gmt_offset = args["gmt_offset"].as_i64().unwrap() as i32;
            locale.format_day(moment(&args["date"]), gmt_offset, args["dow"].as_bool().unwrap()).into()
        }
        other => panic!("unknown call {other:?}"),
    }
}

fn moment(seconds: &Value) -> SystemTime {
    let seconds = seconds.as_i64().unwrap();
    let length = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH - length } else { UNIX_EPOCH + length }
}

fn date_format(options: &Value) -> DateFormat {
    let default = DateFormat::default();
    let flag = |name: &str, default: bool| options[name].as_bool().unwrap_or(default);
    DateFormat {
        gmt_offset: options["gmt_offset"].as_i64().unwrap_or(0) as i32,
        relative: flag("relative", default.relative),
        shorter: flag("shorter", default.shorter),
        full_format: flag("full_format", default.full_format),
    }
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let missing = directory("nothing-here");
    for error in [
        Translations::load_translations(&missing).unwrap_err(),
        Translations::load_gettext_translations(&missing, "app").unwrap_err(),
    ] {
        assert!(matches!(&error, LoadError::Read { path, .. } if *path == missing), "{error}");
        assert!(error.to_string().contains("nothing-here"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fr.csv"), b"school,\xe9cole").unwrap();
    let error = Translations::load_translations(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("fr.csv is not in UTF-8"), "{error}");
    let translations = Translations::load_translations_as(folder.path(), Encoding::Latin1).unwrap();
    assert_eq!(translations.get("fr").unwrap().translate("school"), "école");
    let error = Translations::new().mo("fr", b"no").unwrap_err();
    assert!(matches!(error, LoadError::Mo { error: MoError::NotMo, .. }), "{error}");
}

/// What Tornado does not take either, and what needs no file.
#[test]
fn translations_of_the_program_itself() {
    let mo = fs::read(directory("gettext/fr_FR/LC_MESSAGES/app.mo")).unwrap();
    let translations = Translations::new().csv("es", b"a,b").unwrap().mo("fr_FR", &mo).unwrap();
    assert_eq!(translations.supported_locales().collect::<Vec<_>>(), ["en_US", "es", "fr_FR"]);
    assert_eq!(translations.get("fr_FR").unwrap().translate("school"), "école");
    assert_eq!(translations.get("fr_FR").unwrap().translate(""), "", "the header is no translation");
    assert_eq!(translations.get("es").unwrap().translate("a"), "b");
    assert!(translations.get("de").is_none());
}

proptest! {
    /// A good file with some bytes changed, cut off or doubled.
    #[test]
    fn damaged_mo_files_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
        cut: bool,
        count in any::<i64>(),
    ) {
        let mut data = fs::read(directory("gettext/pl/LC_MESSAGES/app.mo")).unwrap();
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        if cut {
            data.truncate(end.index(data.len()));
        }
        use_locale(Translations::new().mo("pl", &data).ok(), count);
    }

    #[test]
    fn any_bytes_are_survived(mut data: Vec<u8>, magic: bool, count in any::<i64>()) {
        use_locale(Translations::new().csv("pl", &data).ok(), count);
        if magic {
            data.splice(0..0, *b"\xde\x12\x04\x95\0\0\0\0");
        }
        use_locale(Translations::new().mo("pl", &data).ok(), count);
    }

    #[test]
    fn any_plural_rule_is_survived(rule in "[n0-9!=<>&|+*/%?:() -]{0,60}", count in any::<i64>()) {
        let data = mo_with_rule(&rule);
        use_locale(Translations::new().mo("pl", &data).ok(), count);
    }

    #[test]
    fn any_header_and_code_is_survived(header: String, codes: Vec<String>) {
        let translations = load(Some("csv"));
        translations.browser_locale(Some(&header), "en_US");
        translations.get_closest(codes.iter().map(String::as_str));
    }
}

#[test]
fn the_rule_of_a_file_is_followed() {
    let translations = Translations::new().mo("pl", &mo_with_rule("n != 7")).unwrap();
    let locale = translations.get("pl").unwrap();
    assert_eq!([1, 7].map(|count| locale.translate_plural("a", "as", count)), ["y", "x"]);
}

/// A file that has two forms of one message, and this rule.
fn mo_with_rule(rule: &str) -> Vec<u8> {
    let header = format!("Plural-Forms: nplurals=2; plural={rule};");
    let words = [0x9504_12de, 0, 2, 28, 44, 0, 0, 0, 60, 4, 61, header.len(), 66, 3, 67 + header.len()];
    let words: Vec<u8> = words.iter().flat_map(|word| u32::try_from(*word).unwrap().to_le_bytes()).collect();
    [&words, &b"\0a\0as\0"[..], header.as_bytes(), b"\0x\0y\0"].concat()
}

fn use_locale(translations: Option<Translations>, count: i64) {
    let Some(locale) = translations.and_then(|translations| translations.get("pl")) else { return };
    locale.translate("file");
    locale.translate_plural("a", "as", count);
    locale.npgettext("context", "file", "files", count);
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    locale.format_date(now - Duration::from_secs(100), now, DateFormat::default());
}

// --- The language of a request ---

fn page() -> squall::web::UrlSpec {
    get("/", async |ctx: &Context| {
        let locale = ctx.locale().await?;
        ctx.write(format!("{} {}", locale.code(), locale.translate("Sign out")));
        Ok(())
    })
}

#[squall::test]
async fn the_browser_chooses() {
    let app = Application::new([page()]).load_translations(directory("csv"));
    let app = squall::testing::serve(app);
    app.get("/").await.assert_text("en_US Sign out");
    app.get("/").header("Accept-Language", "es-MX,es;q=0.8,fr;q=0.5").await.assert_text("es Cerrar sesión");
    let both = app.get("/").header("Accept-Language", "es;q=0.3").header("Accept-Language", "fr-fr;q=0.4");
    both.await.assert_text("fr_FR Déconnexion");
}

#[squall::test]
async fn an_application_without_translations_speaks_its_own_language() {
    let app = squall::testing::serve(Application::new([page()]).default_locale("de"));
    app.get("/").header("Accept-Language", "es").await.assert_text("de Sign out");
}

#[squall::test]
async fn the_order_of_settings_does_not_matter() {
    let before = Application::new([page()]).default_locale("es").load_translations(directory("csv"));
    let after = Application::new([page()]).load_translations(directory("csv")).default_locale("es");
    for app in [before, after] {
        squall::testing::serve(app).get("/").await.assert_text("es Cerrar sesión");
    }
}

#[test]
fn translations_that_cannot_be_loaded_are_found_at_start_up() {
    let app = Application::new([page()])
        .load_translations("no/such/folder")
        .load_gettext_translations("none/either", "app");
    let line = line!() - 2;
    let error = app.route_table().unwrap_err();
    let problems = error.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains(&format!("locale.rs:{line}: translations: no/such/folder: ")),
        "{problems:?}"
    );
    assert!(problems[1].contains("none/either: "), "{problems:?}");
}

/// Takes the language from a cookie-like header, waiting if told to.
struct Preferences;

impl Site for Preferences {
    type User = ();

    async fn user_locale(&self, ctx: &Context) -> Result<Option<Locale>> {
        let headers = ctx.request().headers();
        ctx.add_header("X-Asked", "yes")?;
        if headers.contains("X-Wait") {
            tokio::task::yield_now().await;
        }
        if headers.contains("X-Set") {
            ctx.set_locale(ctx.translations().get_closest(["fa_IR"]));
        }
        Ok(headers.get("X-Language").and_then(|code| ctx.translations().get(code)))
    }
}

fn preferring() -> Application {
    let twice = get("/twice", async |ctx: &Context| {
        let first = ctx.locale().await?;
        let second = ctx.locale_now()?;
        ctx.write(format!("{} {}", first.code(), second.code()));
        Ok(())
    });
    let now = get("/now", async |ctx: &Context| {
        ctx.write(ctx.locale_now()?.code());
        Ok(())
    });
    let set = get("/set", async |ctx: &Context| {
        ctx.set_locale(ctx.translations().get_closest(["fr_FR"]));
        let browser = ctx.browser_locale();
        ctx.write(format!("{} {}", ctx.locale().await?.code(), browser.code()));
        Ok(())
    });
    Application::new([page(), twice, now, set]).load_translations(directory("csv")).site(Preferences)
}

#[squall::test]
async fn the_user_comes_before_the_browser() {
    let app = squall::testing::serve(preferring());
    let spanish = |path: &str| app.get(path).header("Accept-Language", "es");
    spanish("/").header("X-Language", "fr_FR").await.assert_text("fr_FR Déconnexion");
    spanish("/").header("X-Language", "xx").await.assert_text("es Cerrar sesión");
    spanish("/").header("X-Wait", 1).header("X-Language", "fr_FR").await.assert_text("fr_FR Déconnexion");
    spanish("/set").header("X-Language", "fa_IR").await.assert_text("fr_FR es");
    spanish("/").header("X-Set", 1).header("X-Language", "fr_FR").await.assert_text("fa_IR Sign out");
    let asked_once = spanish("/twice").header("X-Wait", 1).await;
    asked_once.assert_text("es es").assert_header("X-Asked", "yes");
    assert_eq!(asked_once.headers().get_all("X-Asked").iter().count(), 1);
}

#[squall::test]
async fn what_cannot_wait_says_so() {
    let app = squall::testing::serve(preferring());
    app.get("/now").header("X-Language", "fr_FR").await.assert_status(200).assert_text("fr_FR");
    app.get("/now").header("X-Wait", 1).await.assert_status(500);
}

#[squall::test]
async fn the_oracles_page() {
    let locale = get("/locale", async |ctx: &Context| {
        let n: i64 = ctx.argument_or("n", "1")?.parse()?;
        let locale = ctx.locale().await?;
        let items = interpolate(locale.translate_plural("%(n)d item", "%(n)d items", n), &[("n", &n)]);
        let (code, out) = (locale.code(), locale.translate("Sign out"));
        ctx.write_json(&json!([
            code,
            out,
            items,
            locale.friendly_number(1_234_567),
            locale.list(&["A", "B", "C"])
        ]))
    });
    let app = squall::testing::serve(Application::new([locale]).load_translations(directory("csv")));
    app.get("/locale?n=0").await.assert_json(json!([
        "en_US",
        "Sign out",
        "0 items",
        "1,234,567",
        "A, B and C"
    ]));
    let spanish = app.get("/locale?n=2").header("Accept-Language", "es").await;
    spanish.assert_json(json!(["es", "Cerrar sesión", "2 artículos", "1234567", "A, B y C"]));
}

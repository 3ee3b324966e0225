//! What languages are called.

/// A language's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocaleName {
    /// The code, such as `pt_BR`.
    pub code: &'static str,
    /// The name in the language itself.
    pub name: &'static str,
    /// The name in English.
    pub name_en: &'static str,
}

/// The languages whose names are known, by code.
pub const LOCALE_NAMES: &[LocaleName] = &[
    named("af_ZA", "Afrikaans", "Afrikaans"),
    named("am_ET", "አማርኛ", "Amharic"),
    named("ar_AR", "العربية", "Arabic"),
    named("bg_BG", "Български", "Bulgarian"),
    named("bn_IN", "বাংলা", "Bengali"),
    named("bs_BA", "Bosanski", "Bosnian"),
    named("ca_ES", "Català", "Catalan"),
    named("cs_CZ", "Čeština", "Czech"),
    named("cy_GB", "Cymraeg", "Welsh"),
    named("da_DK", "Dansk", "Danish"),
    named("de_DE", "Deutsch", "German"),
    named("el_GR", "Ελληνικά", "Greek"),
    named("en_GB", "English (UK)", "English (UK)"),
    named("en_US", "English (US)", "English (US)"),
    named("es_ES", "Español (España)", "Spanish (Spain)"),
    named("es_LA", "Español", "Spanish"),
    named("et_EE", "Eesti", "Estonian"),
    named("eu_ES", "Euskara", "Basque"),
    named("fa_IR", "فارسی", "Persian"),
    named("fi_FI", "Suomi", "Finnish"),
    named("fr_CA", "Français (Canada)", "French (Canada)"),
    named("fr_FR", "Français", "French"),
    named("ga_IE", "Gaeilge", "Irish"),
    named("gl_ES", "Galego", "Galician"),
    named("he_IL", "עברית", "Hebrew"),
    named("hi_IN", "हिन्दी", "Hindi"),
    named("hr_HR", "Hrvatski", "Croatian"),
    named("hu_HU", "Magyar", "Hungarian"),
    named("id_ID", "Bahasa Indonesia", "Indonesian"),
    named("is_IS", "Íslenska", "Icelandic"),
    named("it_IT", "Italiano", "Italian"),
    named("ja_JP", "日本語", "Japanese"),
    named("ko_KR", "한국어", "Korean"),
    named("lt_LT", "Lietuvių", "Lithuanian"),
    named("lv_LV", "Latviešu", "Latvian"),
    named("mk_MK", "Македонски", "Macedonian"),
    named("ml_IN", "മലയാളം", "Malayalam"),
    named("ms_MY", "Bahasa Melayu", "Malay"),
    named("nb_NO", "Norsk (bokmål)", "Norwegian (bokmal)"),
    named("nl_NL", "Nederlands", "Dutch"),
    named("nn_NO", "Norsk (nynorsk)", "Norwegian (nynorsk)"),
    named("pa_IN", "ਪੰਜਾਬੀ", "Punjabi"),
    named("pl_PL", "Polski", "Polish"),
    named("pt_BR", "Português (Brasil)", "Portuguese (Brazil)"),
    named("pt_PT", "Português (Portugal)", "Portuguese (Portugal)"),
    named("ro_RO", "Română", "Romanian"),
    named("ru_RU", "Русский", "Russian"),
    named("sk_SK", "Slovenčina", "Slovak"),
    named("sl_SI", "Slovenščina", "Slovenian"),
    named("sq_AL", "Shqip", "Albanian"),
    named("sr_RS", "Српски", "Serbian"),
    named("sv_SE", "Svenska", "Swedish"),
    named("sw_KE", "Kiswahili", "Swahili"),
    named("ta_IN", "தமிழ்", "Tamil"),
    named("te_IN", "తెలుగు", "Telugu"),
    named("th_TH", "ภาษาไทย", "Thai"),
    named("tl_PH", "Filipino", "Filipino"),
    named("tr_TR", "Türkçe", "Turkish"),
    named("uk_UA", "Українська", "Ukrainian"),
    named("vi_VN", "Tiếng Việt", "Vietnamese"),
    named("zh_CN", "中文(简体)", "Chinese (Simplified)"),
    named("zh_TW", "中文(繁體)", "Chinese (Traditional)"),
];

pub(super) fn find(code: &str) -> Option<&'static LocaleName> {
    let at = LOCALE_NAMES.binary_search_by(|names| names.code.cmp(code)).ok()?;
    LOCALE_NAMES.get(at)
}

const fn named(code: &'static str, name: &'static str, name_en: &'static str) -> LocaleName {
    LocaleName { code, name, name_en }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(LOCALE_NAMES.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(find("es_LA").unwrap().name, "Español");
        assert_eq!(find("xx"), None);
    }
}

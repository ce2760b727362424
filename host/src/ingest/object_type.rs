//! The object type of an event that does not name it: NetBox before 4.4 sends the model alone (`"model": "site"`),
//! and where the object is in its REST API (`"data": {"url": "/api/dcim/sites/4/"}`).
//!
//! For NetBox's own models both say the same: in no release from 3.7 on do two apps have a model of the same name
//! that sets off events, and each is under its app in the REST API. A plugin's models are under
//! `/api/plugins/<base URL>/`, and the base URL is whatever the plugin chose: `bgp` is the app `netbox_bgp`,
//! `access-lists` is `netbox_acls`. The name of the app follows from the rules, which name object types in full:
//! see [`PluginModel::app_among`].

use serde_json::{Map, Value};

/// NetBox's apps with those of their models that set off events, from 3.7 to 4.6.
const APPS: [(&str, &str); 10] = [
    (
        "circuits",
        "circuit circuitgroup circuitgroupassignment circuittermination circuittype provider \
         provideraccount providernetwork virtualcircuit virtualcircuittermination \
         virtualcircuittype",
    ),
    ("core", "datasource"),
    (
        "dcim",
        "cable cablebundle cabletermination consoleport consoleporttemplate consoleserverport \
         consoleserverporttemplate device devicebay devicebaytemplate devicerole devicetype \
         frontport frontporttemplate interface interfacetemplate inventoryitem \
         inventoryitemrole inventoryitemtemplate location macaddress manufacturer module \
         modulebay modulebaytemplate moduletype moduletypeprofile platform powerfeed \
         poweroutlet poweroutlettemplate powerpanel powerport powerporttemplate rack \
         rackgroup rackreservation rackrole racktype rearport rearporttemplate region site \
         sitegroup virtualchassis virtualdevicecontext",
    ),
    (
        "extras",
        "branch configcontext configcontextprofile configtemplate customfield \
         customfieldchoiceset customlink eventrule exporttemplate imageattachment \
         journalentry notificationgroup report savedfilter script stagedchange tableconfig \
         tag webhook",
    ),
    (
        "ipam",
        "aggregate asn asnrange fhrpgroup fhrpgroupassignment ipaddress iprange prefix rir \
         role routetarget service servicetemplate vlan vlangroup vlantranslationpolicy \
         vlantranslationrule vrf",
    ),
    (
        "tenancy",
        "contact contactassignment contactgroup contactrole tenant tenantgroup",
    ),
    ("users", "owner ownergroup"),
    (
        "virtualization",
        "cluster clustergroup clustertype virtualdisk virtualmachine virtualmachinetype \
         vminterface",
    ),
    (
        "vpn",
        "ikepolicy ikeproposal ipsecpolicy ipsecprofile ipsecproposal l2vpn l2vpntermination \
         tunnel tunnelgroup tunneltermination",
    ),
    ("wireless", "wirelesslan wirelesslangroup wirelesslink"),
];

/// Characters of the name of a model or an app, as Django bounds them.
const MAX_NAME: usize = 100;

/// A plugin's model whose app is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginModel {
    /// Under which the plugin is in NetBox's REST API, if the event says so.
    base_url: Option<String>,
    model: String,
}

/// Whether this is an app of NetBox's own.
#[must_use]
pub fn is_netbox_app(app: &str) -> bool {
    APPS.iter().any(|(own, _)| *own == app)
}

/// The knowledge about the object type of an event that names only a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ObjectType {
    Known(String),
    OfPlugin(PluginModel),
}

/// The object type by `model` and `data.url`; nothing if there is no model, or it cannot be one's name.
pub(super) fn of(context: &Map<String, Value>) -> Option<ObjectType> {
    let model = context.get("model")?.as_str()?;
    if let Some((app, model)) = model.split_once('.') {
        let is_whole = is_name(app) && is_name(model);
        return is_whole.then(|| ObjectType::Known(format!("{app}.{model}")));
    }
    if !is_name(model) {
        return None;
    }
    let url = context.get("data").and_then(|data| data.get("url"));
    let known = |app: &str| ObjectType::Known(format!("{app}.{model}"));
    let of_plugin = |base_url: Option<&str>| {
        ObjectType::OfPlugin(PluginModel {
            base_url: base_url.map(str::to_owned),
            model: model.to_owned(),
        })
    };
    Some(match url.and_then(Value::as_str).and_then(place) {
        Some(Segment::App(app)) => known(app),
        Some(Segment::Plugin(base_url)) => of_plugin(Some(base_url)),
        None => match app_of(model) {
            Some(app) => known(app),
            None => of_plugin(None),
        },
    })
}

/// Where an object is in NetBox's REST API.
#[derive(Debug, PartialEq, Eq)]
enum Segment<'a> {
    App(&'a str),
    Plugin(&'a str),
}

/// Reads `…/api/<app>/…` and `…/api/plugins/<base URL>/…`. The URL may be absolute, and a NetBox may have a base
/// path, which may itself hold the word `api`.
fn place(url: &str) -> Option<Segment<'_>> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).take(32).collect();
    let after_api = segments.windows(3).filter_map(|three| match three {
        ["api", next, after] => Some((*next, *after)),
        _ => None,
    });
    let mut guess = None;
    for (next, after) in after_api {
        if next == "plugins" && is_slug(after) {
            return Some(Segment::Plugin(after));
        }
        if is_netbox_app(next) {
            return Some(Segment::App(next));
        }
        // An app of a release to come.
        guess = is_name(next).then_some(Segment::App(next));
    }
    guess
}

fn app_of(model: &str) -> Option<&'static str> {
    APPS.iter()
        .find(|(_, models)| models.split(' ').any(|own| own == model))
        .map(|(app, _)| *app)
}

/// Python's names in lower case, as Django has them for models and apps.
fn is_name(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_word)
}

fn is_slug(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_word)
}

impl PluginModel {
    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The object type as long as no rule tells better: a base URL that a plugin does not choose is its app.
    /// Empty if nothing is known but the model.
    pub(super) fn guess(&self) -> String {
        match &self.base_url {
            Some(base_url) => {
                let app = base_url.to_ascii_lowercase().replace('-', "_");
                format!("{app}.{}", self.model)
            }
            None => String::new(),
        }
    }

    /// Which of the apps that rules name together with this model it belongs to: the one that is called as the base
    /// URL; else the only one that is called so but for the word `netbox`, `plugin` or signs; else the only one
    /// there is.
    #[must_use]
    pub fn app_among<'a>(&self, apps: &'a [String]) -> Option<&'a str> {
        let only = |apps: &mut dyn Iterator<Item = &'a String>| match (apps.next(), apps.next()) {
            (Some(app), None) => Some(app.as_str()),
            _ => None,
        };
        if let Some(base_url) = &self.base_url {
            let same = base_url.to_ascii_lowercase().replace('-', "_");
            if let Some(app) = apps.iter().find(|app| **app == same) {
                return Some(app);
            }
            let core = core_of(base_url);
            let alike = |app: &&String| core_of(app) == core;
            if let Some(app) = only(&mut apps.iter().filter(alike)) {
                return Some(app);
            }
        }
        only(&mut apps.iter())
    }
}

/// A name without the parts that plugins usually add.
fn core_of(name: &str) -> String {
    let letters: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    letters.replace("netbox", "").replace("plugin", "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_event(model: &str, data: &Value) -> Option<ObjectType> {
        let context = json!({"model": model, "data": data});
        of(context.as_object().unwrap())
    }

    fn known(object_type: &str) -> Option<ObjectType> {
        Some(ObjectType::Known(object_type.to_owned()))
    }

    #[test]
    fn the_app_stands_in_the_url_whatever_comes_before() {
        for url in [
            "/api/dcim/sites/4/",
            "/netbox/api/dcim/sites/4/",
            "/api/api/dcim/sites/4/",
            "http://testserver/api/dcim/sites/4/",
            "https://api.example.com:8443/x/api/dcim/sites/4/?format=json#x",
            "https://netbox/api/dcim/sites/4",
        ] {
            assert_eq!(
                of_event("site", &json!({"url": url})),
                known("dcim.site"),
                "{url}"
            );
        }
        // An app that is not known yet.
        let url = json!({"url": "/api/facilities/rooms/4/"});
        assert_eq!(of_event("room", &url), known("facilities.room"));
    }

    #[test]
    fn without_a_url_netboxs_own_models_are_known_by_name() {
        for data in [
            json!(null),
            json!({}),
            json!([]),
            json!({"url": null}),
            json!({"url": "x"}),
        ] {
            assert_eq!(
                of_event("vminterface", &data),
                known("virtualization.vminterface")
            );
        }
        // Jobs: their data is what a script has put out.
        assert_eq!(
            of_event("script", &json!({"log": []})),
            known("extras.script")
        );
    }

    #[test]
    fn what_cannot_be_a_model_says_nothing() {
        for model in ["", "T-1000", "Site", "a b", "a.b.c", ".site", "süß"] {
            assert_eq!(
                of_event(model, &json!({"url": "/api/dcim/sites/4/"})),
                None,
                "{model}"
            );
        }
        assert_eq!(of_event("dcim.site", &json!(null)), known("dcim.site"));
        assert_eq!(of(json!({"model": 4}).as_object().unwrap()), None);
        assert_eq!(of(&Map::new()), None);
    }

    #[test]
    fn a_plugins_app_is_the_one_that_rules_name() {
        let model = |base_url: &str| {
            let url = format!("/api/plugins/{base_url}/things/4/");
            match of_event("thing", &json!({ "url": url })) {
                Some(ObjectType::OfPlugin(model)) => model,
                other => panic!("{other:?}"),
            }
        };
        let app = |base_url: &str, apps: &[&str]| {
            let apps: Vec<_> = apps.iter().map(|app| (*app).to_owned()).collect();
            model(base_url).app_among(&apps).map(str::to_owned)
        };
        for (base_url, apps, expected) in [
            ("netbox-dns", &["netbox_dns", "dns"][..], Some("netbox_dns")),
            ("bgp", &["netbox_bgp", "netbox_acls"], Some("netbox_bgp")),
            ("bgp", &["bgp", "netbox_bgp"], Some("bgp")),
            (
                "phonebox",
                &["phonebox_plugin", "x"],
                Some("phonebox_plugin"),
            ),
            (
                "custom-objects",
                &["netbox_custom_objects", "x"],
                Some("netbox_custom_objects"),
            ),
            // Nothing in common, but there is no other.
            ("access-lists", &["netbox_acls"], Some("netbox_acls")),
            ("access-lists", &["netbox_acls", "netbox_bgp"], None),
            ("access-lists", &[], None),
        ] {
            assert_eq!(
                app(base_url, apps).as_deref(),
                expected,
                "{base_url} {apps:?}"
            );
        }
        assert_eq!(model("Access-Lists").guess(), "access_lists.thing");
        let nothing = of_event("thing", &json!(null));
        let Some(ObjectType::OfPlugin(nothing)) = nothing else {
            panic!("{nothing:?}")
        };
        assert_eq!(nothing.guess(), "");
        assert_eq!(
            nothing.app_among(&["netbox_acls".to_owned()]),
            Some("netbox_acls")
        );
    }

    #[test]
    fn no_model_of_netboxs_is_in_two_apps() {
        let mut seen = std::collections::HashSet::new();
        for (app, models) in APPS {
            for model in models.split(' ') {
                assert!(is_name(model) && seen.insert(model), "{app}.{model}");
            }
        }
    }
}

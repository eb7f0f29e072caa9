//! The kinds that can be found: names, words and severities as one table.

use weir_sdk::Severity::{self, Critical, High, Low, Medium};

/// Everything known about a kind but how to find it.
pub struct Info {
    /// As configured, and the second half of the finding's code.
    pub name: &'static str,
    /// How grave it is when it leaks.
    pub severity: Severity,
    /// Whether it is looked for when the configuration lists no identifiers.
    pub usual: bool,
    /// The finding's message; never holds what was found.
    pub message: &'static str,
    /// Words near a value that make a weak pattern count.
    pub words: &'static [&'static str],
}

macro_rules! kinds {
    ($($kind:ident $name:literal $severity:ident $usual:literal $message:literal [$($word:literal),*])+) => {
        /// A kind of identifier or secret.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the table below describes each")]
        pub enum Kind { $($kind),+ }

        /// Every kind, in the order in which ties are decided.
        pub const KINDS: &[Kind] = &[$(Kind::$kind),+];

        const INFO: &[Info] = &[$(
            Info { name: $name, severity: $severity, usual: $usual, message: $message, words: &[$($word),*] }
        ),+];
    };
}

// Secrets first, then what a checksum with small odds proves; see `Kind::is_secret`.
kinds! {
    PrivateKey "private_key" Critical true "private key block" []
    AwsAccessKey "aws_access_key" Critical true "AWS access key id" []
    GithubToken "github_token" Critical true "GitHub token" []
    GitlabToken "gitlab_token" Critical true "GitLab token" []
    SlackToken "slack_token" Critical true "Slack token" []
    StripeKey "stripe_key" Critical true "Stripe live key" []
    AnthropicKey "anthropic_key" Critical true "Anthropic API key" []
    OpenaiKey "openai_key" Critical true "OpenAI API key" []
    GoogleApiKey "google_api_key" Critical true "Google API key" []
    NpmToken "npm_token" Critical true "npm token" []
    PypiToken "pypi_token" Critical true "PyPI token" []
    SendgridKey "sendgrid_key" Critical true "SendGrid API key" []
    TwilioKey "twilio_key" Critical true "Twilio API key" []
    HuggingfaceToken "huggingface_token" Critical true "Hugging Face token" []
    DigitaloceanToken "digitalocean_token" Critical true "DigitalOcean token" []
    VendorToken "vendor_token" Critical true "token of another vendor with a published prefix" []
    Jwt "jwt" High true "JSON Web Token" []
    UrlPassword "url_password" Critical true "password inside a URL" []
    Password "password" Critical true "value assigned to a password, token or key" []

    Iban "iban" High true "IBAN with valid check digits" []
    Card "card" High true "payment card number with valid check digit"
        ["card", "credit", "debit", "visa", "mastercard", "amex", "maestro", "cvv", "uatp"]
    Crypto "crypto" Medium true "cryptocurrency address"
        ["eth", "ethereum", "wallet", "address", "erc20", "usdt", "metamask"]
    CnId "cn_id" High true "Chinese resident id with valid check digit" []
    MxCurp "mx_curp" High true "Mexican CURP with valid check digit" []
    FrNir "fr_nir" High true "French social security number with valid key" []
    ChAhv "ch_ahv" High true "Swiss AHV number with valid check digit" []
    BeNn "be_nn" High true "Belgian national number with valid check digits" []
    NoFnr "no_fnr" High true "Norwegian birth number with valid check digits" []
    ItFiscalCode "it_fiscal_code" High true "Italian fiscal code" ["codice", "fiscale", "fiscal", "cf"]
    UkDrivingLicence "uk_driving_licence" High true "UK driving licence number" ["driving", "licence", "license"]
    UsMbi "us_mbi" High true "US Medicare beneficiary identifier" ["mbi", "medicare", "beneficiary"]
    InGstin "in_gstin" Medium true "Indian goods and services tax number" ["gstin", "gst"]
    FiHetu "fi_hetu" High true "Finnish personal identity code with valid check character" ["hetu", "henkilötunnus"]
    ZaId "za_id" High true "South African id number with valid check digit" ["id", "identity"]
    TrId "tr_id" High true "Turkish identity number with valid check digits" ["tckn", "kimlik", "tc"]
    BrCnpj "br_cnpj" Medium true "Brazilian CNPJ with valid check digits" ["cnpj"]
    BrCpf "br_cpf" High true "Brazilian CPF with valid check digits" ["cpf"]
    ClRut "cl_rut" High true "Chilean RUT with valid check character" ["rut", "run"]
    DeTaxId "de_tax_id" High true "German tax id with valid check digit" ["steuer", "steuerid", "steueridentifikationsnummer", "idnr"]
    RoCnp "ro_cnp" High true "Romanian CNP with valid check digit" ["cnp"]
    PlPesel "pl_pesel" High true "Polish PESEL with valid check digit" ["pesel"]
    SePersonnummer "se_personnummer" High true "Swedish personal number with valid check digit" ["personnummer", "personal number"]
    KrRrn "kr_rrn" High true "Korean resident registration number" ["rrn", "resident", "주민등록번호", "주민번호"]
    UsItin "us_itin" High true "US individual taxpayer number" ["itin", "taxpayer", "tax id", "tax"]
    UsSsn "us_ssn" High true "US social security number" ["ssn", "ssns", "social security", "ss#", "social"]
    UkNino "uk_nino" High true "UK national insurance number" ["nino", "national insurance", "ni number"]
    UkNhs "uk_nhs" High true "UK NHS number with valid check digit" ["nhs", "national health", "health service"]
    CaSin "ca_sin" High true "Canadian social insurance number with valid check digit" ["sin", "social insurance", "nas"]
    AuAbn "au_abn" Low true "Australian business number with valid check digits" ["abn", "business number"]
    AuMedicare "au_medicare" High true "Australian Medicare number with valid check digit" ["medicare"]
    AuTfn "au_tfn" High true "Australian tax file number with valid check digit" ["tfn", "tax file"]
    AuAcn "au_acn" Low true "Australian company number with valid check digit" ["acn", "company number"]
    InAadhaar "in_aadhaar" High true "Indian Aadhaar number with valid check digit" ["aadhaar", "aadhar", "uidai", "आधार"]
    InPan "in_pan" High true "Indian permanent account number" ["pan", "permanent account"]
    InVoter "in_voter" Medium true "Indian voter id" ["voter", "epic", "elector", "vote"]
    SgNric "sg_nric" High true "Singaporean NRIC or FIN with valid check letter" ["nric", "fin"]
    SgUen "sg_uen" Low true "Singaporean entity number with valid check letter" ["uen"]
    ThTnin "th_tnin" High true "Thai national id with valid check digit" ["thai", "national id", "tnin", "เลขประจำตัวประชาชน", "บัตรประชาชน"]
    EsNie "es_nie" High true "Spanish NIE with valid check letter" ["nie", "extranjero"]
    EsNif "es_nif" High true "Spanish NIF with valid check letter" ["nif", "dni"]
    HrOib "hr_oib" High true "Croatian OIB with valid check digit" ["oib"]
    NlBsn "nl_bsn" High true "Dutch citizen service number that passes the eleven test" ["bsn", "burgerservicenummer", "sofinummer"]
    PtNif "pt_nif" High true "Portuguese tax number with valid check digit" ["nif", "contribuinte"]
    IePps "ie_pps" High true "Irish PPS number with valid check letter" ["pps", "ppsn"]
    DkCpr "dk_cpr" High true "Danish CPR number" ["cpr", "personnummer"]
    ItVat "it_vat" Low true "Italian VAT number with valid check digit" ["iva", "piva", "vat"]
    ItIdentityCard "it_identity_card" High true "Italian identity card number"
        ["identità", "identita", "cie", "identity card", "id card"]
    ItDrivingLicence "it_driving_licence" High true "Italian driving licence number" ["patente", "license", "licence"]
    UsDea "us_dea" Medium true "US DEA number with valid check digit" ["dea", "certificate", "prescriber"]
    UsNpi "us_npi" Low true "US national provider identifier with valid check digit" ["npi", "provider"]
    UsAba "us_aba" Low true "US bank routing number with valid check digit" ["routing", "aba", "rtn", "ach", "wire"]
    Imei "imei" Medium true "IMEI with valid check digit" ["imei", "imeis"]
    UsBankAccount "us_bank_account" High true "US bank account number"
        ["bank account", "checking account", "savings account", "account at the bank"]
    Passport "passport" High true "passport number" ["passport", "passports", "pasaporte", "passaporto", "travel document"]
    Email "email" Medium true "e-mail address" []
    Ip "ip" Low true "IP address"
        ["ip", "ips", "ipv4", "ipv6", "host", "server", "gateway", "localhost", "loopback", "subnet", "src", "dst", "unspecified"]
    Mac "mac" Low true "MAC address" []
    Phone "phone" Medium true "telephone number"
        ["phone", "telephone", "tel", "mobile", "cell", "cellphone", "fax", "whatsapp", "sms", "telefon", "teléfono",
         "call me", "reach me", "contact number", "电话", "手机"]
    UkVehicle "uk_vehicle" Low false "UK vehicle registration"
        ["registration", "reg", "plate", "vehicle", "vehicles", "car", "van", "dvla"]
    UkPostcode "uk_postcode" Low false "UK postcode" ["postcode", "post code", "address"]
}

impl Kind {
    /// What is known about it.
    pub fn info(self) -> &'static Info {
        &INFO[self as usize]
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Kind> {
        KINDS.iter().copied().find(|kind| kind.info().name == name)
    }

    /// Whether it grants access, as opposed to naming someone.
    pub fn is_secret(self) -> bool {
        self <= Kind::Password
    }

    /// The code of its findings.
    pub fn code(self) -> String {
        let class = if self.is_secret() { "secret" } else { "pii" };
        format!("{class}.{}", self.info().name)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u128);

// INVARIANT: one bit per kind.
const _: () = assert!(KINDS.len() <= 128);

impl Kinds {
    /// Whether the kind is in the set.
    pub fn has(self, kind: Kind) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }

    /// Puts the kind into the set.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u32;
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Kinds {
        let mut set = Kinds::default();
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for kind in KINDS {
            assert_eq!(Kind::named(kind.info().name), Some(*kind));
        }
        assert_eq!(Kind::named("shoe_size"), None);
    }

    #[test]
    fn secrets_come_first() {
        assert!(Kind::PrivateKey.is_secret() && Kind::Password.is_secret());
        assert!(!Kind::Iban.is_secret());
        assert_eq!(Kind::Jwt.code(), "secret.jwt");
        assert_eq!(Kind::UsSsn.code(), "pii.us_ssn");
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let kinds = Kinds::from_iter([Kind::UkPostcode, Kind::Iban]);
        assert!(kinds.has(Kind::Iban) && kinds.has(Kind::UkPostcode) && !kinds.has(Kind::Card));
    }
}

//! The texts of the demo: five teams at work, with slots such as `{iban}` that `traffic` fills.
//!
//! All of it is made up. A slot stands for one value within a text, so `{name}` and `{email}` are the same person.

/// A team as Weir sees it: whose requests they are, and what the team does.
pub(super) struct Desk {
    pub(super) tenant: &'static str,
    /// As registered in the default set.
    pub(super) system: &'static str,
    pub(super) region: &'static str,
    pub(super) cities: &'static [&'static str],
    /// What calls tools for the team.
    pub(super) agent: &'static str,
    pub(super) work: &'static Work,
}

/// What a team does all day.
pub(super) struct Work {
    /// What its model is told before every conversation.
    pub(super) instruction: &'static str,
    pub(super) prompts: &'static [&'static str],
    /// What a search adds to a prompt.
    pub(super) documents: &'static [&'static str],
    pub(super) answers: &'static [&'static str],
    pub(super) calls: &'static [Call],
    pub(super) model: &'static str,
    /// The attributes by which a new version of the model is compared, each with its groups; none where it does not
    /// judge people.
    pub(super) attributes: &'static [&'static [&'static str]],
}

/// A tool, and what it answers.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) action: &'static str,
    pub(super) tool: &'static str,
    pub(super) result: &'static str,
}

/// Listed as often as they are busy.
pub(super) const DESKS: &[&Desk] =
    &[&CLAIMS, &CLAIMS, &CLAIMS, &BETA_CLAIMS, &BETA_CLAIMS, &HIRING, &HIRING, &ENGINEERING, &ENGINEERING, &SUPPORT];

const CLAIMS: Desk = Desk {
    tenant: "acme/claims",
    system: "claims-triage",
    region: "de",
    cities: GERMAN_CITIES,
    agent: "claims-bot",
    work: &CLAIMS_WORK,
};
const BETA_CLAIMS: Desk = Desk {
    tenant: "beta/claims",
    system: "claims-triage",
    region: "at",
    cities: AUSTRIAN_CITIES,
    agent: "triage-bot",
    work: &CLAIMS_WORK,
};
const HIRING: Desk = Desk {
    tenant: "acme/hiring",
    system: "hiring-screener",
    region: "us",
    cities: AMERICAN_CITIES,
    agent: "screener",
    work: &HIRING_WORK,
};
const ENGINEERING: Desk = Desk {
    tenant: "acme/engineering",
    system: "coding-assistant",
    region: "de",
    cities: GERMAN_CITIES,
    agent: "code-agent",
    work: &ENGINEERING_WORK,
};
const SUPPORT: Desk = Desk {
    tenant: "beta/support",
    system: "coding-assistant",
    region: "us",
    cities: AMERICAN_CITIES,
    agent: "desk-agent",
    work: &SUPPORT_WORK,
};

const CLAIMS_WORK: Work = Work {
    instruction: "You help claims handlers. Sort each claim as simple, usual or complex, and give your reason.",
    prompts: &[
        "Claim {claim}: burst pipe in a rented flat in {city} on {date}, estimate {amount} EUR. Simple or complex?",
        "Summarise the history of claim {claim} in five sentences for the handover.",
        "The storm of {date} took {years} tiles off a roof. What do we ask before we send an expert?",
        "Which documents are still missing for {claim}? We have photos, the invoice and the police report.",
        "Draft a friendly letter: we need {days} more days to decide about claim {claim}.",
        "Is a stolen bicycle covered by household insurance when it stood in the hall of the house?",
        "Compare the two repair estimates of {claim}: {amount} EUR from {company}, and the second one 12 % below.",
        "Please pay {amount} EUR for claim {claim} to {name}, IBAN {iban}.",
        "{name} ({email}) asks when the money for {claim} arrives. Write an answer.",
        "Call note: {name}, phone {phone}, reports water damage in {city} since {date}. Sort it, please.",
        "The policyholder paid the deductible with card {card}. Put that into the summary of {claim}.",
        "Two claims within {days} days, both with the account {iban}. Does that need the fraud desk?",
    ],
    documents: &[
        "Handbook 4.2: claims below 1,000 EUR with an invoice and no injury count as simple.",
        "Handbook 7.1: whoever waits for more than 30 days gets a letter with the reason.",
        "Letter of {date}: \"The damage happened while I was on holiday in {city}.\" Signed {name}, {email}.",
    ],
    answers: &[
        "Simple: one event, an invoice and no injury. I suggest to pay {amount} EUR within {days} days.",
        "Complex. The date of the storm and the date of the invoice contradict each other; ask the expert.",
        "Dear {name}, thank you for your patience. We will decide about claim {claim} by {date}.",
        "I noted the transfer of {amount} EUR to {iban}. The customer will be told at {email}.",
        "Missing: the list of the stolen things, and a receipt for the lock. Everything else is there.",
        "I cannot say that from the file. The expert's report of {date} is not in it.",
    ],
    calls: &[
        Call {
            action: "claims.read",
            tool: "claims-store",
            result: "{claim}: {name}, {city}, opened {date}, reserve {amount} EUR, state: waiting for documents",
        },
        Call {
            action: "payments.transfer",
            tool: "bank",
            result: "prepared: {amount} EUR to {iban} ({name}), value date {date}",
        },
        Call {
            action: "weather.history",
            tool: "weather",
            result: "{city}, {date}: gusts of {percent} km/h, rain 14 mm, no hail",
        },
        Call { action: "mail.send", tool: "mail", result: "queued for {email}: \"Your claim {claim}\"" },
    ],
    model: "claims-triage",
    attributes: &[&["sex=f", "sex=m"], &["age=under_30", "age=30_to_59", "age=60+"]],
};

const HIRING_WORK: Work = Work {
    instruction: "You help recruiters. Compare applications with the job, and never use age, sex, origin or photos.",
    prompts: &[
        "Which of these skills match the profile of a {job}: forklift licence, SQL, shift work, two languages?",
        "Write five interview questions for a {job} with {years} years of experience.",
        "Rewrite the advertisement for a {job} in {city} so that it is shorter and excludes nobody.",
        "The team wants somebody who can start on {date}. Who of the shortlist said they could?",
        "Summarise: {name}, {years} years as {job} at {company}, moved to {city}, leads a team of six.",
        "Please invite {name} ({email}, {phone}) for {date}, ten o'clock.",
        "Write a kind rejection to {name} and send it to {email}; the post of {job} went to somebody from the team.",
        "Is a gap of {days} months in a résumé a reason to ask, and how do I ask it fairly?",
        "Reference from {company}: \"{first} was our best {job} in {years} years.\" What else should I ask them?",
    ],
    documents: &[
        "Profile of the job: {job}, {city}. Must have: {years} years of practice. Nice to have: a second language.",
        "Application of {name}, {email}, {phone}: {job} at {company} since {date}.",
    ],
    answers: &[
        "Three of the four skills match. The forklift licence is not in the profile, so it should not count.",
        "Dear {first}, thank you for your application as {job}. We would like to meet you on {date} in {city}.",
        "I suggest to interview the candidate: {years} years of practice, and all that the profile asks for.",
        "The profile asks for experience that the work does not need. It may keep good people out.",
        "Here are five questions. None of them touches family, health or origin.",
    ],
    calls: &[
        Call {
            action: "calendar.book",
            tool: "calendar",
            result: "booked: {date} 10:00, room 3, guests {email} and recruiting@acme.example",
        },
        Call {
            action: "applications.search",
            tool: "applicant-store",
            result: "{years} applications for {job} in {city}; the newest is from {date}",
        },
    ],
    model: "hiring-screener",
    attributes: &[
        &["sex=f", "sex=m"],
        &["race=asian", "race=black", "race=hispanic", "race=white"],
        &["age=40+", "age=under_40"],
    ],
};

const ENGINEERING_WORK: Work = Work {
    instruction: "You help software engineers. Prefer small changes, and say what you did not check.",
    prompts: &[
        "Why does this read the whole table? SELECT * FROM claims WHERE lower(city) = '{city}'",
        "Explain what a memory-mapped file is, in three sentences, to somebody who knows Python.",
        "Review this change: the retry loop now waits {days} seconds between attempts and gives up after {years}.",
        "Write a test for a function that parses dates such as {date} and refuses the 30th of February.",
        "The build of ticket {ticket} fails on {host} only. What differs between the machines most often?",
        "Turn this log line into a metric: level=warn queue=payments waiting={percent} oldest_ms={amount}",
        "How do I roll back a migration that already dropped a column? Ticket {ticket}, production.",
        "The upload says access denied. I export AWS_ACCESS_KEY_ID={aws_key} AWS_REGION=eu-central-1",
        "git push fails with https://{first}:{github_token}@github.com/acme/tools.git, what is wrong with it?",
        "Connection refused: postgres://app:{password}@{host}:5432/claims. Is the port right?",
        "My config has db_password = \"{password}\" and it still asks for one. Why?",
        "Name a better word for a class that is called Manager, please. It hands out connections.",
    ],
    documents: &[
        "Runbook: when the queue `payments` holds more than 500 messages, call the owner of ticket {ticket}.",
        "Style guide 3: functions fit on a screen, comments say why.",
        "Owner of the service on {host}: {name}, {email}.",
    ],
    answers: &[
        "The index is on `city`, not on `lower(city)`. Create one on the expression, or store lower case.",
        "Use a table of cases: {date}, the 29th of February in a leap year, and the 30th, which must fail.",
        "The loop looks right. I did not check what happens when the deadline passes during the last attempt.",
        "Ask {name} ({email}): the last change of that file is from {date}.",
        "Set the variable before you start the service: export DB_PASSWORD='{password}' and restart it on {host}.",
        "`ConnectionLease` says what it does: it lends a connection and takes it back.",
    ],
    calls: &[
        Call {
            action: "shell.run",
            tool: "shell",
            result: "$ cargo test\nrunning {percent} tests, all of them passed in {years}.2 s on {host}",
        },
        Call {
            action: "shell.run",
            tool: "shell",
            result: "$ env | sort | head -3\nAWS_ACCESS_KEY_ID={aws_key}\nHOME=/home/{first}\nLANG=C.UTF-8",
        },
        Call {
            action: "tickets.read",
            tool: "tracker",
            result: "{ticket}: \"Export is slow in {city}\", opened {date} by {name}, priority 2",
        },
        Call {
            action: "repository.search",
            tool: "repository",
            result: "src/retry.rs:41: the delay doubles after each attempt, up to {days} seconds",
        },
        Call {
            action: "web.fetch",
            tool: "browser",
            result: "Release notes: version {years}.2 closes connections after {days} s without traffic.",
        },
    ],
    model: "coding-assistant",
    attributes: &[],
};

const SUPPORT_WORK: Work = Work {
    instruction: "You help the support of a software vendor. Answer in the customer's language, without blame.",
    prompts: &[
        "Ticket {ticket}: the export stops at {percent} %. What should I ask the customer for?",
        "Customer {name} from {company} cannot log in since {date}; address {email}, error 403. Next steps?",
        "Explain to a customer in plain words why the update took {days} minutes.",
        "The log says: connection from {ip} refused by {host}, server ip not in the list. Firewall or settings?",
        "Translate into German: we have found the cause, and the fix comes with the release of {date}.",
        "{name} wants a refund of {amount} USD to the card {card}. Which queue does this go to?",
        "Call back {first} at phone {phone} about ticket {ticket}: what do I need to know first?",
        "The customer pasted a token into the chat: api_key = '{password}'. What do we tell them?",
    ],
    documents: &[
        "Known problem {ticket}: exports above 2 GiB stop; fixed in the release of {date}.",
        "Contract of {company}: answers within {days} hours, contact {name}, {email}.",
    ],
    answers: &[
        "Please ask for the version, the size of the export and the last ten lines of the log.",
        "Dear {first}, the export stops because the disk of {host} is full. We made room; please try again.",
        "This is a refund, so it goes to the queue for billing, with the number {ticket} and nothing else.",
        "Wir haben die Ursache gefunden; die Korrektur kommt mit der Version vom {date}.",
        "I wrote to {email} and set the ticket {ticket} to waiting.",
    ],
    calls: &[
        Call {
            action: "tickets.update",
            tool: "tracker",
            result: "{ticket}: state waiting, next look on {date}, customer {email}",
        },
        Call {
            action: "logs.search",
            tool: "logs",
            result: "{host} {date} 403 GET /export from server ip {ip}, user {email}",
        },
        Call {
            action: "logs.search",
            tool: "logs",
            result: "{host} {date} started with api_token=\"{password}\", listening on 8443",
        },
    ],
    model: "coding-assistant",
    attributes: &[],
};

pub(super) const FIRST_NAMES: &[&str] = &[
    "Amira", "Bruno", "Chioma", "Daniel", "Elif", "Femke", "Grace", "Hannah", "Ivan", "Jonas", "Keiko", "Lucia",
    "Mateusz", "Noor", "Oskar", "Priya", "Rosa", "Samuel", "Tomas", "Yara",
];
pub(super) const LAST_NAMES: &[&str] = &[
    "Abel", "Baumann", "Costa", "Dahl", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kowalski",
    "Lindt", "Moreau", "Nowak", "Okafor", "Petrov", "Rossi", "Schmidt", "Turner", "Weber",
];
const GERMAN_CITIES: &[&str] = &["Aachen", "Dresden", "Hamburg", "Kiel", "Leipzig", "Mainz", "Ulm"];
const AUSTRIAN_CITIES: &[&str] = &["Bregenz", "Graz", "Linz", "Salzburg", "Villach"];
const AMERICAN_CITIES: &[&str] = &["Boston", "Denver", "Omaha", "Seattle", "Tampa"];
pub(super) const COMPANIES: &[&str] =
    &["Brunnen Bau", "Cedar Foods", "Falkenhof Logistics", "Harbor Tools", "Lumen Clinics", "Nordlicht Energie"];
pub(super) const JOBS: &[&str] =
    &["bookkeeper", "data analyst", "electrician", "nurse", "sales lead", "truck driver", "warehouse clerk"];
pub(super) const HOSTS: &[&str] = &["db-1.internal", "export-2.internal", "gate-3.internal", "queue-1.internal"];

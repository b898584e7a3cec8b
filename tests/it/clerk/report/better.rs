//! Where clerk-js is better than this refresher in a recording, why, and what it pays.

/// Why a version is better and what it pays; then version, column and scenarios.
pub const BETTER: &[(&str, &[&str])] = &[
    (
        "It refreshes with 15 s left, each 50 s, and not ahead, each 43 s; in an outage it \
         begins 7 s later. It pays with a caller who waits in each round, and with the last \
         15 s of a token in each outage: dry.",
        &[
            "5.59.0 requests healthy-latency-120 healthy-no-hydrated-token healthy-ttl-30",
            "5.59.0 requests healthy-app-skipcache tokens-500-200s tokens-500-once",
            "5.59.0 requests tokens-500-200s-latency-8000 tokens-500-200s-tabslock",
            "5.59.0 requests tokens-reject-200s all-reject-200s all-500-200s offline-200s",
        ],
    ),
    (
        "It does not refresh ahead without focus, and repeats no refresh that failed ahead. \
         It pays with callers who wait for a token that has 5 s left.",
        &["6.40.0 requests healthy-unfocused tokens-500-once"],
    ),
    (
        "It looks each 1.5 s, ours each 5 s. It pays with requests where every mint is \
         refused: 123 for 43 in tokens-404, 356 for 80 in tokens-401-client-without-token.",
        &[
            "6.40.0 dry healthy-no-hydrated-token",
            "6.40.0 back tokens-404 tokens-401-client-without-token",
        ],
    ),
    (
        "Ours asks for the client until it has come, also while mints go well; 5.59.0 never \
         does, 6.40.0 once more. They pay with a session known from the cookie alone.",
        &[
            "5.59.0 requests load-client-500-tokens-ok load-all-500-cookie",
            "5.59.0 requests load-all-reject-cookie",
            "6.40.0 requests load-client-500-tokens-ok load-all-500-cookie",
        ],
    ),
    (
        "The same schedule from another instant: ours begins 12.5 s before 6.40.0's and 7 s \
         before 5.59.0's, so that the outage ends elsewhere in its waits; in \
         tokens-500-then-429 just after one of 50 s has begun, and that row it pays with \
         nothing. In the others it pays with dry: ours serves a token to its end.",
        &[
            "5.59.0 back tokens-500-200s tokens-500-200s-tabslock tokens-401-client-503",
            "5.59.0 back tokens-reject-200s all-reject-200s all-500-200s",
            "6.40.0 back tokens-500-200s tokens-500-200s-tabslock tokens-401-client-503",
            "6.40.0 back tokens-reject-200s all-reject-200s all-500-200s tokens-429-200s",
            "6.40.0 back tokens-429-client-500 tokens-429-200s-client-without-token",
            "6.40.0 dry tokens-429-200s-client-without-token tokens-500-then-429",
            "6.40.0 back tokens-500-then-429 offline-200s",
            "6.40.0 unheard tokens-500-then-429",
        ],
    ),
    (
        "It retries neither a 4xx nor offline, and looks each 5 s. It pays with requests, 76 \
         for 19 and 111 for 80; offline with the cookie, which it takes away.",
        &[
            "5.59.0 back offline-200s tokens-401-client-without-token",
            "5.59.0 back tokens-429-200s-client-without-token",
        ],
    ),
    (
        "It takes a 429 and a 404 for a suspected sign-out, and the healthy /client of the \
         scenario gives it a token instead. It pays with a user signed out by mistake where \
         /client fails too: tokens-429-client-500.",
        &[
            "5.59.0 requests tokens-429-200s tokens-404",
            "5.59.0 dry tokens-429-200s tokens-429-200s-retry-after-30 tokens-404",
            "5.59.0 unheard tokens-429-200s tokens-429-200s-retry-after-30 tokens-404",
            "5.59.0 back tokens-429-200s tokens-429-200s-retry-after-30 tokens-404",
            "5.59.0 dry tokens-500-then-429",
            "5.59.0 unheard tokens-500-then-429",
            "5.59.0 back tokens-500-then-429",
        ],
    ),
    (
        "Signed out by mistake it sends nothing. It pays with the session.",
        &["5.59.0 requests tokens-429-client-500"],
    ),
    (
        "It sends while Retry-After forbids it. It pays with 18 requests for 12.",
        &[
            "6.40.0 dry tokens-429-200s-retry-after-30",
            "6.40.0 unheard tokens-429-200s-retry-after-30",
            "6.40.0 back tokens-429-200s-retry-after-30",
        ],
    ),
    (
        "A caller of theirs sends a request of its own, one of ours waits for the sequence, \
         whose next attempt may be 50 s away. They pay with nine requests for each caller in \
         an outage.",
        &[
            "5.59.0 unheard tokens-500-200s-latency-8000",
            "6.40.0 unheard tokens-500-200s-latency-8000 load-all-reject-cookie",
        ],
    ),
    (
        "The /touch of the recording mints while /tokens is down; ours has no such call. The \
         twin where it fails too is tokens-500-focus-events-touch-500: they pay with twice \
         the requests, each focus event begins a chain.",
        &[
            "5.59.0 requests tokens-500-focus-events",
            "5.59.0 dry tokens-500-focus-events",
            "5.59.0 unheard tokens-500-focus-events",
            "6.40.0 requests tokens-500-focus-events",
            "6.40.0 dry tokens-500-focus-events",
            "6.40.0 unheard tokens-500-focus-events",
        ],
    ),
    (
        "Ours takes the 401 of /client at its word, and the token away. They keep it to its \
         end and pay with requests without a pause: 702 and 1417 for 3.",
        &[
            "5.59.0 dry tokens-401-client-401",
            "5.59.0 unheard tokens-401-client-401",
            "6.40.0 dry tokens-401-client-401",
            "6.40.0 unheard tokens-401-client-401",
        ],
    ),
    (
        "It asks 7 s later, and learns 7 s later that the session is gone.",
        &[
            "5.59.0 dry tokens-401-session-gone",
            "5.59.0 unheard tokens-401-session-gone",
        ],
    ),
];

/// The scenario whose tokens come from where ours does not ask.
pub const TOUCH: &str = "tokens-500-focus-events";

/// Ours must be slower by more than this to be worse: the reference drops the fraction of
/// each millisecond, and the start-up without a network has jitter.
pub fn tolerance(scenario: &str) -> u128 {
    if scenario == "load-all-reject-cookie" {
        2500
    } else {
        20
    }
}

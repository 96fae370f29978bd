/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/handshake.h"

#include "base/bytes.h"
#include "wire/cpu_aes.h"
#include "wire/header.h"
#include "wire/guarded.h"

#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Byte offsets of a hello's fields, little-endian. Bytes between them are zero. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,   /* of the handshake */
    AT_MESSAGES = 10, /* SGP_HEADER_VERSION */
    AT_KEYED = 12,
    AT_PURPOSE = 13,
    AT_RANK = 16,
    AT_SIZE = 20,
    AT_RUN = 24,
    AT_FINGERPRINT = 32,
    AT_PROGRAM = 40, /* 24 bytes of text */
    AT_INCARNATION = 64,
    AT_CAPACITY = 68,
    AT_ENCRYPTION = 72,
    AT_AES = 73, /* whether its CPU has instructions for it */
    AT_MACHINE = 80,
    AT_NONCE = 96,
};

static const unsigned char magic[8] = {'s', 'g', 'p', 'h', 'e', 'l', 'l', 'o'};

/* `stage`: the bytes that are awaited. A Noise message and a sealed verdict where there is a key. */
enum {
    WANT_HELLO,          /* the caller's */
    WANT_FIRST,          /* its Noise message */
    WANT_ANSWER,         /* the answerer's hello */
    WANT_DIGEST,         /* behind it */
    WANT_SECOND,         /* or the answerer's Noise message */
    WANT_DIGEST_VERDICT, /* the caller's */
    WANT_VERDICT,        /* the other's last word */
};

enum { SEALED_VERDICT = SGP_VERDICT_BYTES + SGP_NOISE_TAG };

struct sgp_handshake_secrets {
    sgp_key_t key;
    sgp_noise_t noise;
    unsigned char session[2][SGP_NOISE_KEY]; /* of what the answerer sends, and the caller */
};

/* ---- digests ---- */

/* Of the caller or of the answerer, over both hellos. */
static void make_digest(const sgp_handshake_t *handshake, bool of_caller,
                        unsigned char digest[SGP_PROOF_BYTES]) {
    static const char *const labels[] = {"sgp proof 1 answerer", "sgp proof 1 caller"};
    const char *label = labels[of_caller];
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, SGP_PROOF_BYTES);
    crypto_generichash_update(&hash, (const unsigned char *)label, strlen(label));
    crypto_generichash_update(&hash, handshake->hello[0], SGP_HELLO_BYTES);
    crypto_generichash_update(&hash, handshake->hello[1], SGP_HELLO_BYTES);
    crypto_generichash_final(&hash, digest, SGP_PROOF_BYTES);
}

static bool is_right(const sgp_handshake_t *handshake, const unsigned char *digest) {
    unsigned char right[SGP_PROOF_BYTES];
    make_digest(handshake, !handshake->caller, right);
    return sodium_memcmp(right, digest, sizeof right) == 0;
}

/* ---- hello ---- */

static void encode_hello(const sgp_hello_t *hello, bool keyed,
                         unsigned char bytes[SGP_HELLO_BYTES]) {
    memset(bytes, 0, SGP_HELLO_BYTES);
    memcpy(bytes + AT_MAGIC, magic, sizeof magic);
    sgp_bytes_put(bytes + AT_VERSION, SGP_HANDSHAKE_VERSION, 2);
    sgp_bytes_put(bytes + AT_MESSAGES, SGP_HEADER_VERSION, 2);
    sgp_bytes_put(bytes + AT_KEYED, keyed, 1);
    sgp_bytes_put(bytes + AT_PURPOSE, (uint64_t)hello->purpose, 1);
    sgp_bytes_put(bytes + AT_RANK, (uint32_t)hello->rank, 4);
    sgp_bytes_put(bytes + AT_SIZE, (uint32_t)hello->size, 4);
    sgp_bytes_put(bytes + AT_RUN, hello->run, 8);
    sgp_bytes_put(bytes + AT_FINGERPRINT, hello->fingerprint, 8);
    sgp_bytes_put(bytes + AT_INCARNATION, hello->incarnation, 4);
    sgp_bytes_put(bytes + AT_CAPACITY, (uint32_t)hello->capacity, 4);
    sgp_bytes_put(bytes + AT_ENCRYPTION, (uint64_t)hello->encryption, 1);
    sgp_bytes_put(bytes + AT_AES, sgp_cpu_has_aes(), 1);
    sgp_bytes_put(bytes + AT_MACHINE, hello->machine, 8);
    memcpy(bytes + AT_PROGRAM, hello->version, strnlen(hello->version, sizeof hello->version - 1));
    randombytes_buf(bytes + AT_NONCE, SGP_NONCE_BYTES);
}

/* The printable beginning of a peer's text. */
static void copy_text(const unsigned char *bytes, size_t length, char *text) {
    size_t i = 0;
    for (; i + 1 < length && bytes[i] >= ' ' && bytes[i] <= '~'; i++) text[i] = (char)bytes[i];
    text[i] = '\0';
}

static void decode_hello(const unsigned char *bytes, sgp_hello_t *hello) {
    *hello = (sgp_hello_t){
        .purpose = (sgp_purpose_t)sgp_bytes_get(bytes + AT_PURPOSE, 1),
        .rank = (int)(int32_t)sgp_bytes_get(bytes + AT_RANK, 4),
        .size = (int)(int32_t)sgp_bytes_get(bytes + AT_SIZE, 4),
        .run = sgp_bytes_get(bytes + AT_RUN, 8),
        .fingerprint = sgp_bytes_get(bytes + AT_FINGERPRINT, 8),
        .incarnation = (uint32_t)sgp_bytes_get(bytes + AT_INCARNATION, 4),
        .capacity = (int)(int32_t)sgp_bytes_get(bytes + AT_CAPACITY, 4),
        .encryption = (sgp_encryption_t)bytes[AT_ENCRYPTION],
        .machine = sgp_bytes_get(bytes + AT_MACHINE, 8),
    };
    copy_text(bytes + AT_PROGRAM, sizeof hello->version, hello->version);
}

/* ---- the state machine ---- */

static void want(sgp_handshake_t *handshake, int stage, size_t bytes) {
    handshake->stage = stage;
    handshake->in_have = 0;
    handshake->in_want = bytes;
}

static void append(sgp_handshake_t *handshake, const void *bytes, size_t length) {
    memcpy(handshake->out + handshake->out_end, bytes, length);
    handshake->out_end += length;
}

static void append_zeros(sgp_handshake_t *handshake, size_t length) {
    memset(handshake->out + handshake->out_end, 0, length);
    handshake->out_end += length;
}

/* What travels of a hello in the clear. With a key, what tells another version or a side without a key that it is one. */
static void show(const sgp_handshake_t *handshake, const unsigned char *hello,
                 unsigned char shown[SGP_HELLO_BYTES]) {
    memset(shown, 0, SGP_HELLO_BYTES);
    memcpy(shown, hello, handshake->secrets ? AT_PURPOSE : SGP_HELLO_BYTES);
    memcpy(shown + AT_PROGRAM, hello + AT_PROGRAM, AT_INCARNATION - AT_PROGRAM);
}

static void append_hello(sgp_handshake_t *handshake) {
    unsigned char shown[SGP_HELLO_BYTES];
    show(handshake, handshake->hello[!handshake->caller], shown);
    append(handshake, shown, sizeof shown);
}

static void append_digest(sgp_handshake_t *handshake) {
    unsigned char digest[SGP_PROOF_BYTES];
    make_digest(handshake, handshake->caller, digest);
    append(handshake, digest, sizeof digest);
}

/* Sealed where there is a key: each side sends one. */
static void append_verdict(sgp_handshake_t *handshake, bool refused) {
    unsigned char verdict[SGP_VERDICT_BYTES] = {refused}, sealed[SEALED_VERDICT];
    if (refused)
        memcpy(verdict + 1, handshake->reason, strnlen(handshake->reason, sizeof verdict - 2));
    if (!handshake->secrets) {
        append(handshake, verdict, sizeof verdict);
        return;
    }
    sgp_noise_seal(handshake->secrets->session[handshake->caller], 0, NULL, 0, verdict,
                   sizeof verdict, sealed);
    append(handshake, sealed, sizeof sealed);
}

/* Nothing more is read. */
static void end(sgp_handshake_t *handshake, sgp_handshake_state_t state) {
    handshake->state = state;
    handshake->in_have = handshake->in_want = 0;
    if (state == SGP_HANDSHAKE_REFUSED) sgp_handshake_fini(handshake);
}

__attribute__((format(printf, 2, 3))) static void fail(sgp_handshake_t *handshake,
                                                       const char *reason, ...) {
    va_list arguments;
    va_start(arguments, reason);
    vsnprintf(handshake->reason, sizeof handshake->reason, reason, arguments);
    va_end(arguments);
    end(handshake, SGP_HANDSHAKE_REFUSED);
}

/* In an answerer that refuses: the caller finds the difference in our hello. What it expects behind it is zeros, which serve in
 * no acceptance. */
static void append_nothing(sgp_handshake_t *handshake, size_t rest) {
    if (handshake->caller) return;
    append_hello(handshake);
    append_zeros(handshake, rest);
}

/* Whether a hello is of sgp, of our protocol version, and keyed as we are. Otherwise it has
 * failed. */
static bool check_hello(sgp_handshake_t *handshake, const unsigned char *theirs) {
    const unsigned char *mine = handshake->hello[!handshake->caller];
    char version[24];
    if (memcmp(theirs + AT_MAGIC, magic, sizeof magic) != 0) {
        fail(handshake, "it is not sgp");
        return false;
    }
    copy_text(theirs + AT_PROGRAM, sizeof version, version);
    if (memcmp(theirs + AT_VERSION, mine + AT_VERSION, 4) != 0) {
        append_nothing(handshake, SGP_PROOF_BYTES);
        fail(handshake, "it runs sgp %s, whose protocol is not that of sgp %.23s here", version,
             (const char *)mine + AT_PROGRAM);
        return false;
    }
    bool keyed = theirs[AT_KEYED] != 0;
    if (keyed != (handshake->secrets != NULL)) {
        append_nothing(handshake, SGP_PROOF_BYTES);
        fail(handshake,
             keyed ? "it has a key, and here is none" : "it has no key, and here one is needed");
        return false;
    }
    return true;
}

/* The rest of a hello that was checked so far: that of `from`, 0 the caller, 1 the answerer. */
static bool check_whole(sgp_handshake_t *handshake, int from) {
    const unsigned char *theirs = handshake->hello[from];
    if (sodium_memcmp(theirs + AT_NONCE, handshake->hello[!from] + AT_NONCE, SGP_NONCE_BYTES) ==
        0) {
        fail(handshake, "it sends our own hello back");
        return false;
    }
    int purpose = theirs[AT_PURPOSE];
    if (purpose < SGP_PURPOSE_JOIN || purpose > SGP_PURPOSE_LAST) {
        fail(handshake, "unknown purpose %d", purpose);
        return false;
    }
    if (theirs[AT_ENCRYPTION] > SGP_ENCRYPTION_OFF) {
        fail(handshake, "unknown encryption %d", theirs[AT_ENCRYPTION]);
        return false;
    }
    return true;
}

static void refuse(sgp_handshake_t *handshake) {
    if (handshake->caller && !handshake->secrets) append_zeros(handshake, SGP_PROOF_BYTES);
    append_verdict(handshake, true);
    end(handshake, SGP_HANDSHAKE_REFUSED);
}

static void refuse_damaged(sgp_handshake_t *handshake) {
    snprintf(handshake->reason, sizeof handshake->reason, "its proof is damaged");
    refuse(handshake);
}

/* The answer repeats the purpose of the call. */
static void repeat_purpose(sgp_handshake_t *handshake) {
    if (handshake->hello[0][AT_PURPOSE] <= SGP_PURPOSE_LAST)
        handshake->hello[1][AT_PURPOSE] = handshake->hello[0][AT_PURPOSE];
}

/* In the answerer: the caller's hello has arrived. */
static void received_hello(sgp_handshake_t *handshake) {
    memcpy(handshake->hello[0], handshake->in, SGP_HELLO_BYTES);
    if (!check_hello(handshake, handshake->in)) return;
    if (handshake->secrets) { /* what is encrypted follows */
        want(handshake, WANT_FIRST, SGP_OPENING_BYTES);
        return;
    }
    repeat_purpose(handshake);
    if (!check_whole(handshake, 0)) return;
    append_hello(handshake);
    append_digest(handshake);
    want(handshake, WANT_DIGEST_VERDICT, SGP_PROOF_BYTES + SGP_VERDICT_BYTES);
}

/* The payload of a Noise message takes the place of the hello that came in the clear, which must be what shows of it. */
static bool read_noise(sgp_handshake_t *handshake, int from) {
    unsigned char hello[SGP_HELLO_BYTES], shown[SGP_HELLO_BYTES];
    if (!sgp_noise_read(&handshake->secrets->noise, handshake->in, SGP_HELLO_BYTES, hello)) {
        append_nothing(handshake, SGP_OPENING_BYTES);
        fail(handshake, "it has another key");
        return false;
    }
    show(handshake, hello, shown);
    bool same = memcmp(shown, handshake->hello[from], sizeof shown) == 0;
    memcpy(handshake->hello[from], hello, sizeof hello);
    if (!same) fail(handshake, "its hello was altered on the way");
    return same;
}

static bool append_noise(sgp_handshake_t *handshake) {
    unsigned char message[SGP_OPENING_BYTES];
    if (!sgp_noise_write(&handshake->secrets->noise, handshake->hello[!handshake->caller],
                         SGP_HELLO_BYTES, message)) {
        fail(handshake, "its part of the session key is worthless");
        return false;
    }
    append_hello(handshake);
    append(handshake, message, sizeof message);
    return true;
}

static void split_keys(sgp_handshake_t *handshake) {
    struct sgp_handshake_secrets *secrets = handshake->secrets;
    sgp_noise_split(&secrets->noise, secrets->session[1], secrets->session[0]);
    sodium_memzero(&secrets->noise, sizeof secrets->noise);
    sodium_memzero(&secrets->key, sizeof secrets->key);
}

/* In the answerer: the caller's Noise message has arrived, perhaps a recording. */
static void received_first(sgp_handshake_t *handshake) {
    struct sgp_handshake_secrets *secrets = handshake->secrets;
    sgp_noise_init(&secrets->noise, false, secrets->key.bytes, handshake->hello[0], SGP_HELLO_BYTES,
                   NULL);
    if (!read_noise(handshake, 0)) return;
    repeat_purpose(handshake);
    if (!check_whole(handshake, 0) || !append_noise(handshake)) return;
    split_keys(handshake);
    want(handshake, WANT_VERDICT, SEALED_VERDICT);
}

static void judge(sgp_handshake_t *handshake) {
    decode_hello(handshake->hello[handshake->caller], &handshake->theirs);
    handshake->state = SGP_HANDSHAKE_JUDGE;
    handshake->in_have = handshake->in_want = 0;
}

/* In the caller: the answerer's hello is whole, and proven. */
static void received_all(sgp_handshake_t *handshake) {
    if (!check_whole(handshake, 1)) return;
    if (handshake->hello[1][AT_PURPOSE] != handshake->hello[0][AT_PURPOSE])
        fail(handshake, "it answers for another purpose");
    else judge(handshake);
}

static void received_answer(sgp_handshake_t *handshake) {
    memcpy(handshake->hello[1], handshake->in, SGP_HELLO_BYTES);
    if (!check_hello(handshake, handshake->in)) return;
    if (handshake->secrets) want(handshake, WANT_SECOND, SGP_OPENING_BYTES);
    else want(handshake, WANT_DIGEST, SGP_PROOF_BYTES);
}

static void received_digest(sgp_handshake_t *handshake) {
    if (is_right(handshake, handshake->in)) received_all(handshake);
    else refuse_damaged(handshake);
}

static void received_second(sgp_handshake_t *handshake) {
    if (!read_noise(handshake, 1)) return;
    split_keys(handshake);
    received_all(handshake);
}

/* false: a refusal. Only all zeros accept, so a refusal with a flipped bit stays a refusal. */
static bool is_accepted(sgp_handshake_t *handshake, const unsigned char *verdict) {
    if (sodium_is_zero(verdict, SGP_VERDICT_BYTES)) return true;
    copy_text(verdict + 1, SGP_VERDICT_BYTES - 1, handshake->reason);
    if (!handshake->reason[0])
        snprintf(handshake->reason, sizeof handshake->reason, "no reason given");
    handshake->refused_by_them = true;
    end(handshake, SGP_HANDSHAKE_REFUSED);
    return false;
}

/* In the answerer, without a key. A refusal is believed without a digest: that costs nothing. */
static void received_digest_verdict(sgp_handshake_t *handshake) {
    if (!is_accepted(handshake, handshake->in + SGP_PROOF_BYTES)) return;
    if (is_right(handshake, handshake->in)) judge(handshake);
    else refuse_damaged(handshake);
}

/* The caller's, where there is a key; the answerer's in every case. */
static void received_verdict(sgp_handshake_t *handshake) {
    unsigned char verdict[SGP_VERDICT_BYTES];
    if (!handshake->secrets) memcpy(verdict, handshake->in, sizeof verdict);
    else if (!sgp_noise_open(handshake->secrets->session[!handshake->caller], 0, NULL, 0,
                             handshake->in, SGP_VERDICT_BYTES, verdict)) {
        fail(handshake, "its verdict was altered on the way");
        return;
    }
    if (!is_accepted(handshake, verdict)) return;
    if (handshake->caller) end(handshake, SGP_HANDSHAKE_DONE);
    else judge(handshake);
}

static void received(sgp_handshake_t *handshake) {
    static void (*const stages[])(sgp_handshake_t *) = {
        [WANT_HELLO] = received_hello,     [WANT_FIRST] = received_first,
        [WANT_ANSWER] = received_answer,   [WANT_DIGEST] = received_digest,
        [WANT_SECOND] = received_second,   [WANT_DIGEST_VERDICT] = received_digest_verdict,
        [WANT_VERDICT] = received_verdict,
    };
    stages[handshake->stage](handshake);
}

/* ---- the calls ---- */

static bool make_secrets(sgp_handshake_t *handshake, const sgp_key_t *key) {
    handshake->secrets = sgp_guarded_make(sizeof *handshake->secrets);
    if (!handshake->secrets) {
        fail(handshake, "there is no memory here for a key");
        return false;
    }
    handshake->secrets->key = *key;
    return true;
}

/* The caller's first bytes. The prologue is the hello in the clear. */
static void call(sgp_handshake_t *handshake) {
    struct sgp_handshake_secrets *secrets = handshake->secrets;
    want(handshake, WANT_ANSWER, SGP_HELLO_BYTES);
    append_hello(handshake);
    if (!secrets) return;
    sgp_noise_init(&secrets->noise, true, secrets->key.bytes, handshake->out, SGP_HELLO_BYTES,
                   NULL);
    handshake->out_end = 0;
    append_noise(handshake);
}

void sgp_handshake_init(sgp_handshake_t *handshake, bool caller, const sgp_hello_t *mine,
                        const sgp_key_t *key) {
    memset(handshake, 0, sizeof *handshake);
    handshake->caller = caller;
    if (sodium_init() < 0) { /* without it there are no nonces */
        fail(handshake, "libsodium cannot be initialised here");
        return;
    }
    if (key && !make_secrets(handshake, key)) return;
    encode_hello(mine, key != NULL, handshake->hello[!caller]);
    if (caller) call(handshake);
    else want(handshake, WANT_HELLO, SGP_HELLO_BYTES);
}

void *sgp_handshake_place(sgp_handshake_t *handshake, size_t *wanted) {
    *wanted = handshake->in_want - handshake->in_have;
    return handshake->in + handshake->in_have;
}

void sgp_handshake_received(sgp_handshake_t *handshake, size_t bytes) {
    assert(bytes <= handshake->in_want - handshake->in_have);
    if (bytes == 0) return;
    handshake->in_have += bytes;
    if (handshake->in_have == handshake->in_want) received(handshake);
}

const void *sgp_handshake_pending(const sgp_handshake_t *handshake, size_t *bytes) {
    *bytes = handshake->out_end - handshake->out_at;
    return handshake->out + handshake->out_at;
}

void sgp_handshake_sent(sgp_handshake_t *handshake, size_t bytes) {
    assert(bytes <= handshake->out_end - handshake->out_at);
    handshake->out_at += bytes;
    if (handshake->out_at == handshake->out_end) handshake->out_at = handshake->out_end = 0;
}

/* What both want of the encryption must go together. */
static bool agrees_on_encryption(sgp_handshake_t *handshake) {
    int mine = handshake->hello[!handshake->caller][AT_ENCRYPTION],
        theirs = handshake->hello[handshake->caller][AT_ENCRYPTION];
    bool contradict = mine + theirs == SGP_ENCRYPTION_ON + SGP_ENCRYPTION_OFF; /* each of 0 to 2 */
    if (!handshake->secrets || !contradict) return true;
    sgp_handshake_refuse(handshake, mine == SGP_ENCRYPTION_ON
                                        ? "it wants no encryption, and here it is on"
                                        : "it wants encryption, and here it is off");
    return false;
}

void sgp_handshake_accept(sgp_handshake_t *handshake) {
    assert(handshake->state == SGP_HANDSHAKE_JUDGE);
    if (!agrees_on_encryption(handshake)) return;
    if (handshake->caller) {
        if (!handshake->secrets) append_digest(handshake);
        append_verdict(handshake, false);
        handshake->state = SGP_HANDSHAKE_RUNNING;
        want(handshake, WANT_VERDICT, handshake->secrets ? SEALED_VERDICT : SGP_VERDICT_BYTES);
        return;
    }
    append_verdict(handshake, false);
    end(handshake, SGP_HANDSHAKE_DONE);
}

void sgp_handshake_refuse(sgp_handshake_t *handshake, const char *reason, ...) {
    va_list arguments;
    assert(handshake->state == SGP_HANDSHAKE_JUDGE);
    va_start(arguments, reason);
    vsnprintf(handshake->reason, sizeof handshake->reason - 2, reason, arguments);
    va_end(arguments);
    refuse(handshake);
}

/* The same on both sides. */
static bool is_encrypted(const sgp_handshake_t *handshake) {
    const unsigned char *caller = handshake->hello[0], *answerer = handshake->hello[1];
    int both = caller[AT_ENCRYPTION] | answerer[AT_ENCRYPTION];
    uint64_t machine = sgp_bytes_get(caller + AT_MACHINE, 8);
    if (both != SGP_ENCRYPTION_AUTO) return both == SGP_ENCRYPTION_ON;
    return machine == 0 || machine != sgp_bytes_get(answerer + AT_MACHINE, 8);
}

bool sgp_handshake_seals(sgp_handshake_t *handshake, sgp_seals_t *seals) {
    assert(handshake->state == SGP_HANDSHAKE_DONE);
    *seals = (sgp_seals_t){.encrypted = false};
    if (!handshake->secrets) return true;
    bool aes = handshake->hello[0][AT_AES] == 1 && handshake->hello[1][AT_AES] == 1;
    sgp_seal_cipher_t cipher = aes ? SGP_SEAL_AES : SGP_SEAL_CHACHA;
    const unsigned char(*session)[SGP_NOISE_KEY] =
        (const unsigned char(*)[SGP_NOISE_KEY])handshake->secrets->session;
    seals->encrypted = is_encrypted(handshake);
    unsigned char keys[2][SGP_NOISE_KEY];
    for (int of_caller = 0; of_caller < 2; of_caller++) {
        static const char label[] = "sgp records";
        crypto_generichash(keys[of_caller], SGP_NOISE_KEY, (const unsigned char *)label,
                           sizeof label - 1, session[of_caller], SGP_NOISE_KEY);
    }
    seals->out = sgp_seal_create(keys[handshake->caller], cipher, seals->encrypted, true);
    seals->in = sgp_seal_create(keys[!handshake->caller], cipher, seals->encrypted, false);
    sodium_memzero(keys, sizeof keys);
    sgp_handshake_fini(handshake);
    if (seals->out && seals->in) return true;
    sgp_seals_destroy(seals);
    return false;
}

void sgp_handshake_fini(sgp_handshake_t *handshake) {
    sgp_guarded_free(handshake->secrets);
    handshake->secrets = NULL;
}

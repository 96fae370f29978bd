/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/handshake.h"

#include "base/bytes.h"
#include "wire/header.h"

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
    AT_NONCE = 96,
};

static const unsigned char magic[8] = {'s', 'g', 'p', 'h', 'e', 'l', 'l', 'o'};

/* `stage`: the bytes that are awaited. */
enum { WANT_HELLO, WANT_HELLO_PROOF, WANT_PROOF_VERDICT, WANT_VERDICT };

/* ---- proof ---- */

/* Of the caller or of the answerer, over both hellos. Without a key it is a plain hash, so that the
 * layout stays. */
static void make_proof(const sgp_handshake_t *handshake, bool of_caller,
                       unsigned char proof[SGP_PROOF_BYTES]) {
    static const char *const labels[] = {"sgp proof 1 answerer", "sgp proof 1 caller"};
    const char *label = labels[of_caller];
    crypto_generichash_state mac;
    crypto_generichash_init(&mac, handshake->keyed ? handshake->key.bytes : NULL,
                            handshake->keyed ? sizeof handshake->key.bytes : 0, SGP_PROOF_BYTES);
    crypto_generichash_update(&mac, (const unsigned char *)label, strlen(label));
    crypto_generichash_update(&mac, handshake->hello[0], SGP_HELLO_BYTES);
    crypto_generichash_update(&mac, handshake->hello[1], SGP_HELLO_BYTES);
    crypto_generichash_final(&mac, proof, SGP_PROOF_BYTES);
}

static bool is_proven(const sgp_handshake_t *handshake, const unsigned char *proof) {
    unsigned char right[SGP_PROOF_BYTES];
    make_proof(handshake, !handshake->caller, right);
    return sodium_memcmp(right, proof, sizeof right) == 0;
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

/* In place of a proof: a refusal must not contain bytes that could serve in an acceptance. */
static void append_no_proof(sgp_handshake_t *handshake) {
    static const unsigned char nothing[SGP_PROOF_BYTES];
    append(handshake, nothing, sizeof nothing);
}

static void append_proof(sgp_handshake_t *handshake) {
    unsigned char proof[SGP_PROOF_BYTES];
    make_proof(handshake, handshake->caller, proof);
    append(handshake, proof, sizeof proof);
}

static void append_verdict(sgp_handshake_t *handshake, bool refused) {
    unsigned char verdict[SGP_VERDICT_BYTES] = {refused};
    if (refused)
        memcpy(verdict + 1, handshake->reason, strnlen(handshake->reason, sizeof verdict - 2));
    append(handshake, verdict, sizeof verdict);
}

/* Nothing more is read. */
static void end(sgp_handshake_t *handshake, sgp_handshake_state_t state) {
    handshake->state = state;
    handshake->in_have = handshake->in_want = 0;
    sodium_memzero(&handshake->key, sizeof handshake->key);
}

__attribute__((format(printf, 2, 3))) static void fail(sgp_handshake_t *handshake,
                                                       const char *reason, ...) {
    va_list arguments;
    va_start(arguments, reason);
    vsnprintf(handshake->reason, sizeof handshake->reason, reason, arguments);
    va_end(arguments);
    end(handshake, SGP_HANDSHAKE_REFUSED);
}

/* The caller gets our hello, in which it finds the difference, and no proof. */
static void append_hello(sgp_handshake_t *handshake) {
    if (handshake->caller) return;
    append(handshake, handshake->hello[1], SGP_HELLO_BYTES);
    append_no_proof(handshake);
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
        append_hello(handshake);
        fail(handshake, "it runs sgp %s, whose protocol is not that of sgp %.23s here", version,
             (const char *)mine + AT_PROGRAM);
        return false;
    }
    bool keyed = theirs[AT_KEYED] != 0;
    if (keyed != handshake->keyed) {
        append_hello(handshake);
        fail(handshake,
             keyed ? "it has a key, and here is none" : "it has no key, and here one is needed");
        return false;
    }
    if (sodium_memcmp(theirs + AT_NONCE, mine + AT_NONCE, SGP_NONCE_BYTES) == 0) {
        fail(handshake, "it sends our own hello back");
        return false;
    }
    int purpose = theirs[AT_PURPOSE];
    if (purpose >= SGP_PURPOSE_JOIN && purpose <= SGP_PURPOSE_LAST) return true;
    fail(handshake, "unknown purpose %d", purpose);
    return false;
}

static void refuse(sgp_handshake_t *handshake) {
    if (handshake->caller) append_no_proof(handshake);
    append_verdict(handshake, true);
    end(handshake, SGP_HANDSHAKE_REFUSED);
}

static void refuse_unproven(sgp_handshake_t *handshake) {
    snprintf(handshake->reason, sizeof handshake->reason, "%s",
             handshake->keyed ? "it has another key" : "its proof is damaged");
    refuse(handshake);
}

/* In the answerer: the caller's hello has arrived. */
static void received_hello(sgp_handshake_t *handshake) {
    memcpy(handshake->hello[0], handshake->in, SGP_HELLO_BYTES);
    /* The answer repeats the purpose of the call. */
    if (handshake->in[AT_PURPOSE] <= SGP_PURPOSE_LAST)
        handshake->hello[1][AT_PURPOSE] = handshake->in[AT_PURPOSE];
    if (!check_hello(handshake, handshake->in)) return;
    append(handshake, handshake->hello[1], SGP_HELLO_BYTES);
    append_proof(handshake);
    want(handshake, WANT_PROOF_VERDICT, SGP_PROOF_BYTES + SGP_VERDICT_BYTES);
}

/* In the caller: the answerer's hello and proof have arrived. */
static void received_answer(sgp_handshake_t *handshake) {
    memcpy(handshake->hello[1], handshake->in, SGP_HELLO_BYTES);
    if (!check_hello(handshake, handshake->in)) return;
    if (!is_proven(handshake, handshake->in + SGP_HELLO_BYTES)) {
        refuse_unproven(handshake);
        return;
    }
    if (handshake->in[AT_PURPOSE] != handshake->hello[0][AT_PURPOSE]) {
        fail(handshake, "it answers for another purpose");
        return;
    }
    decode_hello(handshake->hello[1], &handshake->theirs);
    handshake->state = SGP_HANDSHAKE_JUDGE;
    handshake->in_have = handshake->in_want = 0;
}

/* false: a refusal. Only all zeros accept, so a refusal with a flipped bit stays a refusal. */
static bool received_verdict(sgp_handshake_t *handshake, const unsigned char *verdict) {
    if (sodium_is_zero(verdict, SGP_VERDICT_BYTES)) return true;
    copy_text(verdict + 1, SGP_VERDICT_BYTES - 1, handshake->reason);
    if (!handshake->reason[0])
        snprintf(handshake->reason, sizeof handshake->reason, "no reason given");
    handshake->refused_by_them = true;
    end(handshake, SGP_HANDSHAKE_REFUSED);
    return false;
}

/* In the answerer: the caller's proof and verdict have arrived. A refusal is believed without a
 * proof: that costs nothing. */
static void received_proof(sgp_handshake_t *handshake) {
    if (!received_verdict(handshake, handshake->in + SGP_PROOF_BYTES)) return;
    if (!is_proven(handshake, handshake->in)) {
        refuse_unproven(handshake);
        return;
    }
    decode_hello(handshake->hello[0], &handshake->theirs);
    handshake->state = SGP_HANDSHAKE_JUDGE;
    handshake->in_have = handshake->in_want = 0;
}

static void received(sgp_handshake_t *handshake) {
    switch (handshake->stage) {
    case WANT_HELLO:
        received_hello(handshake);
        return;
    case WANT_HELLO_PROOF:
        received_answer(handshake);
        return;
    case WANT_PROOF_VERDICT:
        received_proof(handshake);
        return;
    case WANT_VERDICT:
        if (received_verdict(handshake, handshake->in)) end(handshake, SGP_HANDSHAKE_DONE);
        return;
    }
}

/* ---- the calls ---- */

void sgp_handshake_init(sgp_handshake_t *handshake, bool caller, const sgp_hello_t *mine,
                        const sgp_key_t *key) {
    memset(handshake, 0, sizeof *handshake);
    handshake->caller = caller;
    if (sodium_init() < 0) { /* without it there are no nonces */
        fail(handshake, "libsodium cannot be initialised here");
        return;
    }
    handshake->keyed = key != NULL;
    if (key) handshake->key = *key;
    encode_hello(mine, handshake->keyed, handshake->hello[!caller]);
    if (!caller) {
        want(handshake, WANT_HELLO, SGP_HELLO_BYTES);
        return;
    }
    append(handshake, handshake->hello[0], SGP_HELLO_BYTES);
    want(handshake, WANT_HELLO_PROOF, SGP_HELLO_BYTES + SGP_PROOF_BYTES);
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

void sgp_handshake_accept(sgp_handshake_t *handshake) {
    assert(handshake->state == SGP_HANDSHAKE_JUDGE);
    if (handshake->caller) {
        append_proof(handshake);
        append_verdict(handshake, false);
        handshake->state = SGP_HANDSHAKE_RUNNING;
        want(handshake, WANT_VERDICT, SGP_VERDICT_BYTES);
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

void sgp_handshake_fini(sgp_handshake_t *handshake) {
    sodium_memzero(&handshake->key, sizeof handshake->key);
}

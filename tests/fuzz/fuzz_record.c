/* SPDX-License-Identifier: Apache-2.0 */
/* Records from somebody without the key: switches, then bytes that take the place of a record, or are laid over a good one:
 *     how many good records come first, where the bytes go, the bytes.
 * Only what was sent is opened, in its order. */
#include "fuzz.h"

#include "wire/seal.h"

#include <sodium.h>

enum { CHACHA = 0x02, CLEAR = 0x04, OVER = 0x08, MOST = 512, CONTENTS = 64 };

static const unsigned char key[SGP_NOISE_KEY] = {1, 2, 3};

/* Good records, which are opened as they are. */
static void pass(sgp_seal_t *out, sgp_seal_t *in, unsigned count) {
    unsigned char contents[CONTENTS], record[CONTENTS + SGP_SEAL_OVERHEAD], back[CONTENTS];
    for (unsigned i = 0; i < count; i++) {
        size_t bytes;
        memset(contents, (int)i, sizeof contents);
        FUZZ_CHECK(sgp_seal_close(out, contents, sizeof contents, record));
        FUZZ_CHECK(sgp_seal_measure(record, &bytes) && bytes == sizeof contents);
        FUZZ_CHECK(sgp_seal_open(in, record, record + SGP_SEAL_HEAD, bytes, back));
        FUZZ_CHECK(memcmp(back, contents, sizeof back) == 0);
    }
}

/* What comes next on the wire. */
static void take(sgp_seal_t *in, const unsigned char *wire, size_t count, bool good) {
    unsigned char back[MOST];
    size_t bytes;
    if (count < SGP_SEAL_OVERHEAD) return;
    if (!sgp_seal_measure(wire, &bytes)) {
        FUZZ_CHECK(!good);
        return;
    }
    FUZZ_CHECK(bytes <= SGP_SEAL_MOST);
    if (bytes > count - SGP_SEAL_OVERHEAD) return; /* the rest has not come */
    bool opened = sgp_seal_open(in, wire, wire + SGP_SEAL_HEAD, bytes, back);
    FUZZ_CHECK(opened == good);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned char wire[MOST], contents[CONTENTS], record[CONTENTS + SGP_SEAL_OVERHEAD];
    FUZZ_CHECK(sodium_init() >= 0);
    unsigned switches = fuzz_byte(&input), before = fuzz_byte(&input) % 4, at = fuzz_byte(&input);
    bool aes = !(switches & CHACHA);
    sgp_seal_cipher_t cipher = aes ? SGP_SEAL_AES : SGP_SEAL_CHACHA;
    sgp_seal_t *out = sgp_seal_create(key, cipher, !(switches & CLEAR), true);
    sgp_seal_t *in = sgp_seal_create(key, cipher, !(switches & CLEAR), false);
    FUZZ_CHECK(out && in);
    pass(out, in, before);
    memset(contents, 'c', sizeof contents);
    FUZZ_CHECK(sgp_seal_close(out, contents, sizeof contents, record));
    size_t count = sizeof record;
    memcpy(wire, record, sizeof record);
    if (switches & OVER)
        fuzz_take(&input, wire + at % sizeof record, sizeof record - at % sizeof record);
    else count = fuzz_take(&input, wire, sizeof wire);
    bool good = count >= sizeof record && memcmp(wire, record, sizeof record) == 0;
    take(in, wire, count, good);
    sgp_seal_destroy(out);
    sgp_seal_destroy(in);
    return 0;
}

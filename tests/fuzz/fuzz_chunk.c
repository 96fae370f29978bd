/* SPDX-License-Identifier: Apache-2.0 */
/* A header as it arrives: switches, then its bytes. A header that is accepted has every property
 * that the code behind it relies on. */
#include "fuzz.h"

#include "transport/transport.h"

#include <math.h>
#include <xxhash.h>

enum { REPAIR_RUN = 0x02, CLEAR_UNUSED = 0x04 };
enum { AT_RUN = 16, AT_UNUSED = 88, AT_CHECKSUM = SGP_HEADER_BYTES - 8 };

#define RUN 0x1122334455667788u

static void repair(unsigned switches, unsigned char bytes[SGP_HEADER_BYTES]) {
    uint64_t run = RUN;
    if (switches & REPAIR_RUN)
        for (int i = 0; i < 8; i++) bytes[AT_RUN + i] = (unsigned char)(run >> 8 * i);
    if (switches & CLEAR_UNUSED) memset(bytes + AT_UNUSED, 0, AT_CHECKSUM - AT_UNUSED);
    if (!(switches & FUZZ_REPAIR)) return;
    memcpy(bytes, "1SGP", 4);
    bytes[4] = SGP_HEADER_VERSION;
    bytes[5] = 0;
    uint64_t sum = XXH3_64bits(bytes, AT_CHECKSUM);
    for (int i = 0; i < 8; i++) bytes[AT_CHECKSUM + i] = (unsigned char)(sum >> 8 * i);
}

static void check_accepted(const sgp_transport_t *transport, const unsigned char *bytes,
                           const sgp_header_t *header) {
    unsigned char again[SGP_HEADER_BYTES];
    FUZZ_CHECK(header->run == RUN);
    FUZZ_CHECK(header->src >= 0 && header->src < transport->size);
    FUZZ_CHECK(header->kind >= SGP_KIND_CONTROL && header->kind <= SGP_KIND_LAST);
    FUZZ_CHECK((unsigned)header->encoding <= SGP_ENCODING_LAST);
    FUZZ_CHECK(sgp_encoding_bytes(header->encoding, header->elements) <= transport->chunk_bytes);
    FUZZ_CHECK(header->offset <= header->count);
    FUZZ_CHECK(header->elements <= header->count - header->offset);
    FUZZ_CHECK(isfinite(header->weight) && header->weight > 0);
    sgp_header_encode(header, again);
    FUZZ_CHECK(memcmp(again, bytes, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const sgp_transport_ops_t ops = {.name = "fuzz"};
    static sgp_fates_t *fates;
    if (!fates) FUZZ_CHECK(sgp_fates_create(8, 8, &fates) == SGP_OK);
    sgp_transport_t transport = {
        .ops = &ops, .size = 8, .capacity = 8, .fates = fates, .run = RUN, .chunk_bytes = 4096};
    fuzz_input_t input = {data, size};
    unsigned char bytes[SGP_HEADER_BYTES];
    unsigned switches = fuzz_byte(&input);
    if (fuzz_take(&input, bytes, sizeof bytes) < sizeof bytes) return 0;
    repair(switches, bytes);
    sgp_header_t decoded, accepted;
    const char *reason = NULL;
    sgp_status_t status = sgp_header_decode(bytes, &decoded, &reason);
    FUZZ_CHECK((status == SGP_OK) == (reason == NULL));
    sgp_status_t verdict = sgp_transport_accept(&transport, bytes, &accepted);
    FUZZ_CHECK(transport.counters.refused == (verdict != SGP_OK));
    if (status != SGP_OK) FUZZ_CHECK(verdict == SGP_ERR_REFUSED);
    if (verdict == SGP_OK) check_accepted(&transport, bytes, &accepted);
    return 0;
}

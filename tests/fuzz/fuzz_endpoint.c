/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint of a process that joins, with its address, and the headers of join messages:
 * switches, then bytes. */
#include "fuzz.h"

#include "group/join/endpoint.h"
#include "group/join/join_message.h"
#include "net/address.h"

#include <xxhash.h>

enum { AT_HASH = SGP_ENDPOINT_BYTES - 8 };

static void repair(unsigned char bytes[SGP_ENDPOINT_BYTES]) {
    memcpy(bytes, "SGPC\1\0\0\0", 8);
    uint64_t sum = XXH3_64bits(bytes, AT_HASH);
    for (int i = 0; i < 8; i++) bytes[AT_HASH + i] = (unsigned char)(sum >> 8 * i);
}

/* A peer's address text: either no address, or one that survives writing and reading. */
static void check_address(const char *text) {
    char written[SGP_ADDRESS_TEXT], again[SGP_ADDRESS_TEXT];
    sgp_address_t address, same;
    if (sgp_address_parse(text, &address) != SGP_OK) return;
    FUZZ_CHECK(address.length <= sizeof address.at);
    sgp_address_text(&address, written);
    FUZZ_CHECK(sgp_address_parse(written, &same) == SGP_OK);
    FUZZ_CHECK(strcmp(sgp_address_text(&same, again), written) == 0);
    FUZZ_CHECK(sgp_address_port(&same) == sgp_address_port(&address));
}

static void check_endpoint(const unsigned char bytes[SGP_ENDPOINT_BYTES]) {
    unsigned char again[SGP_ENDPOINT_BYTES];
    sgp_endpoint_t endpoint, same;
    if (sgp_endpoint_decode(bytes, &endpoint) != SGP_OK) return;
    FUZZ_CHECK(endpoint.size >= 1 && endpoint.rank >= -1 && endpoint.rank < endpoint.size &&
               endpoint.run != 0);
    FUZZ_CHECK((unsigned)endpoint.transport <= SGP_CHOICE_LAST);
    FUZZ_CHECK(endpoint.port >= 0 && endpoint.port <= 65535);
    FUZZ_CHECK(fuzz_is_text(endpoint.address, sizeof endpoint.address));
    FUZZ_CHECK(fuzz_is_text(endpoint.host, sizeof endpoint.host));
    FUZZ_CHECK(fuzz_is_text(endpoint.version, sizeof endpoint.version));
    check_address(endpoint.address);
    sgp_endpoint_encode(&endpoint, again);
    FUZZ_CHECK(sgp_endpoint_decode(again, &same) == SGP_OK);
    FUZZ_CHECK(same.rank == endpoint.rank && same.size == endpoint.size &&
               same.run == endpoint.run);
    FUZZ_CHECK(same.port == endpoint.port && strcmp(same.address, endpoint.address) == 0);
}

static void check_message(const unsigned char *bytes) {
    sgp_join_message_t message = 0;
    size_t length = 0;
    if (!sgp_join_message_decode(bytes, 1000, &message, &length)) return;
    FUZZ_CHECK(message >= SGP_JOIN_ADMITTED && message <= SGP_JOIN_MESSAGE_LAST);
    FUZZ_CHECK(length <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    unsigned switches = fuzz_byte(&input);
    size_t length = fuzz_take(&input, bytes, sizeof bytes);
    if (length >= SGP_JOIN_MESSAGE_HEADER) check_message(bytes);
    if (length < sizeof bytes) return 0;
    if (switches & FUZZ_REPAIR) repair(bytes);
    check_endpoint(bytes);
    return 0;
}

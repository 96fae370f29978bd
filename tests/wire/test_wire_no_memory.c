/* SPDX-License-Identifier: Apache-2.0 */
/* Making a key and a whole handshake allocate nothing, so they cannot run out of memory. */
#include "cmocka_all.h"
#include "failing_alloc.h"

#include "wire/handshake.h"

#include <string.h>

static void hand_over(sgp_handshake_t *from, sgp_handshake_t *to) {
    size_t bytes, wanted;
    const void *said = sgp_handshake_pending(from, &bytes);
    void *place = sgp_handshake_place(to, &wanted);
    if (bytes > wanted) bytes = wanted;
    memcpy(place, said, bytes);
    sgp_handshake_sent(from, bytes);
    sgp_handshake_received(to, bytes);
    if (sgp_handshake_state(to) == SGP_HANDSHAKE_JUDGE) sgp_handshake_accept(to);
}

static void shake(const sgp_key_t *key) {
    sgp_hello_t hello = {.purpose = SGP_PURPOSE_LINK, .size = 2, .run = 5, .version = "1"};
    sgp_handshake_t caller, answerer;
    sgp_handshake_init(&caller, true, &hello, key);
    sgp_handshake_init(&answerer, false, &hello, key);
    for (int turn = 0; turn < 16; turn++) {
        hand_over(&caller, &answerer);
        hand_over(&answerer, &caller);
    }
    assert_int_equal(sgp_handshake_state(&caller), SGP_HANDSHAKE_DONE);
    assert_int_equal(sgp_handshake_state(&answerer), SGP_HANDSHAKE_DONE);
}

static void test_nothing_is_allocated(void **state) {
    (void)state;
    static const char secret[] = "long enough for a secret\n";
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_key_t key;
        assert_int_equal(FAILING(&failing, sgp_key_of_text(secret, strlen(secret), &key)), SGP_OK);
        failing_on(&failing);
        shake(&key);
        failing_off(&failing);
    }
    assert_int_equal(failing.round,
                     2); /* the first after the one that fails none has none to fail */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_is_allocated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

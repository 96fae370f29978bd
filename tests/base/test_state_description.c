/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a description, in every locale. */
#include "cmocka_all.h"

#include "base/state_description.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static void fill(sgp_state_description_t *to) {
    *to = (sgp_state_description_t){.length = 0};
    sgp_describe_text(to, "algorithm", "osgp");
    sgp_describe_size(to, "count", UINT64_MAX);
    sgp_describe_integer(to, "overlap", -1);
    sgp_describe_float(to, "momentum", 0.9f);
    sgp_describe_float(to, "epsilon", 1e-8f);
    sgp_describe_place(to, "node", 3, 4);
}

static const char expected[] = "algorithm=osgp count=18446744073709551615 overlap=-1 "
                               "momentum=0.899999976 epsilon=9.99999994e-09 node=3/4";

static void test_text(void **state) {
    (void)state;
    sgp_state_description_t description;
    fill(&description);
    assert_string_equal(description.text, expected);
    assert_int_equal(description.length, strlen(expected));
}

/* With a decimal comma, where the machine has such a locale. */
static void test_locale(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", "fa_IR"};
    sgp_state_description_t description;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!setlocale(LC_NUMERIC, names[i])) continue;
        fill(&description);
        assert_string_equal(description.text, expected);
    }
    setlocale(LC_NUMERIC, "C");
}

static void test_bytes(void **state) {
    (void)state;
    sgp_state_description_t a = {.length = 0}, b = a, none = a, no_place = a;
    sgp_describe_bytes(&a, "ranges", "abc", 3);
    sgp_describe_bytes(&b, "ranges", "abd", 3);
    sgp_describe_bytes(&none, "ranges", NULL, 0);
    assert_string_not_equal(a.text, b.text);
    assert_string_not_equal(a.text, none.text);
    for (int i = 0; i < 200; i++) sgp_describe_text(&no_place, "name", "value");
    assert_true(no_place.length < sizeof no_place.text);
    assert_int_equal(strlen(no_place.text), no_place.length);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

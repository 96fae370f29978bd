/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU without bfloat16: this program keeps oneDNN to AVX2. */
#include "reference.h"

#include "model/model.h"

#include <sgp/log.h>

/* oneDNN reads it at its first call. */
__attribute__((constructor)) static void use_avx2(void) {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    unsetenv("SGP_BFLOAT16");
}

static const model_options_t OPTIONS = {
    .name = "lenet", .batch = 2, .height = 8, .width = 8, .channels = 1, .classes = 10};

static void keep_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank;
    snprintf(user, 256, "%s", line);
}

static void bfloat16_is_refused(void **state) {
    (void)state;
    char line[256] = "";
    sgp_log_set(keep_line, line, SGP_LOG_ERROR);
    model_options_t options = OPTIONS;
    options.precision = MODEL_BFLOAT16;
    model_t *model = NULL;
    assert_int_equal(model_create(&options, &model), SGP_ERR_UNSUPPORTED);
    assert_null(model);
    assert_non_null(strstr(line, "avx512_bf16"));
    assert_non_null(strstr(line, "float32"));
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
}

static void auto_is_float32(void **state) {
    (void)state;
    model_options_t options = OPTIONS;
    options.precision = MODEL_AUTO;
    model_t *model = NULL;
    assert_int_equal(model_create(&options, &model), SGP_OK);
    assert_int_equal(model_precision(model), MODEL_FLOAT32);
    model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bfloat16_is_refused),
        cmocka_unit_test(auto_is_float32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

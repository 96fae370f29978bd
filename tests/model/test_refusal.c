/* SPDX-License-Identifier: Apache-2.0 */
/* oneDNN's choice of implementation depends on the CPU, so this program replaces the library's
 * dnnl_primitive_desc_query by its own, which reports another implementation. */
#include "reference.h"

#include "model/model.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <sgp/log.h>

static int asked, slow_at; /* from 1 */

dnnl_status_t dnnl_primitive_desc_query(const_dnnl_primitive_desc_t description, dnnl_query_t what,
                                        int index, void *result) {
    dnnl_status_t (*library)(const_dnnl_primitive_desc_t, dnnl_query_t, int, void *) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "dnnl_primitive_desc_query");
    memcpy(&library, &symbol, sizeof library);
    dnnl_status_t status = library(description, what, index, result);
    if (what == dnnl_query_impl_info_str && ++asked == slow_at) *(const char **)result = "ref:any";
    return status;
}

static void keep_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank;
    snprintf(user, 256, "%s", line);
}

/* For every primitive of the model. */
static void a_reference_implementation_is_refused(void **state) {
    (void)state;
    char line[256] = "";
    model_options_t options = {
        .name = "lenet", .batch = 2, .height = 8, .width = 8, .channels = 1, .classes = 10};
    sgp_log_set(keep_line, line, SGP_LOG_ERROR);
    int refused = 0;
    for (slow_at = 1;; slow_at++) {
        model_t *model = NULL;
        asked = 0;
        line[0] = 0;
        sgp_status_t status = model_create(&options, &model);
        model_destroy(model);
        if (status == SGP_OK) break;
        assert_int_equal(status, SGP_ERR_UNSUPPORTED);
        assert_null(model);
        assert_non_null(strstr(line, "ref:any"));
        assert_true(strstr(line, "conv1") || strstr(line, "conv2") || strstr(line, "fc"));
        refused++;
    }
    /* Three layers, two or three passes each; reorders besides. */
    assert_true(refused >= 8);
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_reference_implementation_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

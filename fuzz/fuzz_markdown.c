/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of Markdown files. */
#include "fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        fuzz_reader(read_markdown, data, size);
        return 0;
}

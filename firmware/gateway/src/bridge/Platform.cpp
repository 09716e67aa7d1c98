#include "Platform.h"

#ifdef __AVR__
extern char __heap_start;
extern char *__brkval __attribute__((weak));  // the end of the heap; the linker has none without malloc()

uint16_t bridging::freeRam() {
  const char top = 0;
  const char *const heapEnd = &__brkval && __brkval ? __brkval : &__heap_start;
  return uint16_t(&top - heapEnd);
}
#else
uint16_t bridging::freeRam() { return 0; }
#endif

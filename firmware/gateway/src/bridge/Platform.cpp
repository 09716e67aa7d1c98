#include "Platform.h"

#ifdef __AVR__
extern char __heap_start;
extern char *__brkval;  // the end of the heap, null while nothing was ever allocated

uint16_t bridging::freeRam() {
  const char top = 0;
  return uint16_t(&top - (__brkval ? __brkval : &__heap_start));
}
#else
uint16_t bridging::freeRam() { return 0; }
#endif

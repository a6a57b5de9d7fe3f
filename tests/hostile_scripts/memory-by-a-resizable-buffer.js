// attack: reserve address space far above the limit, then fill it
// outcome: script_error
// detail: called_back_error
// message: emory|allocation failed
// or_outcome: out_of_memory
// or_detail: heap_exhausted
// or_message: heap limit
// or_retires: out_of_memory
function login(email, password, callback) {
  try {
    const buffer = new ArrayBuffer(0, { maxByteLength: 4e9 });
    for (let size = 16e6; ; size += 16e6) {
      buffer.resize(size);
      new Uint8Array(buffer, size - 16e6).fill(1);
    }
  } catch (error) {
    callback(error);
  }
}

// attack: let scrypt take gigabytes
// outcome: script_error
// detail: called_back_error
// or_outcome: out_of_memory
// or_detail: heap_exhausted
// or_message: heap limit
// or_retires: out_of_memory
function login(email, password, callback) {
  require('crypto').scrypt(password, 'salt', 64, { N: 2 ** 21, r: 8, maxmem: 2 ** 40 }, callback);
}

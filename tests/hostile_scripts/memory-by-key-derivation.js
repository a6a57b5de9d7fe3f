// attack: let scrypt take gigabytes
// outcome: script_error|out_of_memory
function login(email, password, callback) {
  require('crypto').scrypt(password, 'salt', 64, { N: 2 ** 21, r: 8, maxmem: 2 ** 40 }, callback);
}

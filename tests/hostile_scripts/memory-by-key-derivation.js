// attack: let scrypt take gigabytes
// outcome: any
function login(email, password, callback) {
  require('crypto').scrypt(password, 'salt', 64, { N: 2 ** 21, r: 8, maxmem: 2 ** 40 }, callback);
}

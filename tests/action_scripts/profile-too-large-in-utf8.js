// action: login
// args: ["alice@example.com","correct horse"]
// outcome: too_large
// detail: result_too_large
function login(email, password, callback) {
  callback(null, { user_id: 1, blob: '\u20ac'.repeat(4e5) });
}

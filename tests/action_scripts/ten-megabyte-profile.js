// action: login
// args: ["alice@example.com","correct horse"]
// outcome: too_large
// detail: result_too_large
// message: 1048576 bytes
function login(email, password, callback) {
  callback(null, { user_id: 1, blob: 'x'.repeat(1e7) });
}

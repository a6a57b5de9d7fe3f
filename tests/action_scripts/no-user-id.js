// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: invalid_profile
// message: neither user_id nor id
function login(email, password, callback) {
  callback(null, { email, username: 'alice' });
}

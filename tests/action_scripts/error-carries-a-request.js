// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: status code 500
function login(email, password, callback) {
  const error = new Error('Request failed with status code 500');
  error.config = { data: JSON.stringify({ email, password }), headers: { authorization: password } };
  error.response = { body: password };
  callback(error);
}

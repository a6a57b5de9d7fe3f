function getByEmail(email, callback) {
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('errorMessage', function (text) {
    console.log(JSON.stringify(text, null, 2));
  });
  connection.on('connect', function (err) {
    if (err) return callback(err);
    const query =
      'SELECT m.UserId, m.Email, u.UserName FROM dbo.Memberships m ' +
      'INNER JOIN dbo.Users u ON u.UserId = m.UserId WHERE m.Email = @Email';
    const request = new Request(query, function (err, rowCount, rows) {
      if (err) return callback(err);
      if (rowCount < 1) return callback();
      callback(null, { user_id: rows[0][0].value, email: rows[0][1].value, nickname: rows[0][2].value });
    });
    request.addParameter('Email', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
